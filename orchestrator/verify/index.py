"""Which check stands in which file, read from the files' text: known without importing pytest or any check."""

from __future__ import annotations

import re
from pathlib import Path

from .run import check_files

_ID = re.compile(r'\bid="([a-z0-9_.]+)"')
# Checks of the cluster that take the first half of their id from their layer.
_SHORT = re.compile(r'^@_check\(\s*"(\w+)"(.*)$', re.MULTILINE)
_LAYER = re.compile(r'layer="(\w+)"')
_COMPONENT = re.compile(r"^(_COMPONENTS|_LEADERS) = \((.*?)\)$", re.MULTILINE | re.DOTALL)


def ids_by_file() -> dict[Path, frozenset[str]]:
    """The ids of the checks in each of labctl's check files."""
    return {Path(name): _ids(Path(name).read_text(encoding="utf-8")) for name in check_files(with_cluster=True)}


def _ids(text: str) -> frozenset[str]:
    found = set(_ID.findall(text))
    for name, rest in _SHORT.findall(text):
        layer = _LAYER.search(rest)
        found.add(f"{layer[1] if layer else 'control_plane'}.{name}")
    for group, names in _COMPONENT.findall(text):
        suffix = "_leads" if group == "_LEADERS" else ""
        found |= {f"control_plane.{name.replace('-', '_')}{suffix}" for name in re.findall(r'"([a-z-]+)"', names)}
    return frozenset(found)
