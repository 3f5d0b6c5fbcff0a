"""Which packages bring a program that labctl calls on the host, by package manager."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


def packages_of(program: str, manager: str) -> tuple[str, ...]:
    """The packages that bring a program; empty where nobody knows them."""
    entry = _table()[program].get(manager)
    return tuple(entry["packages"]) if entry else ()


def by_hand(program: str) -> str:
    """What to install where no package is known, in words."""
    return str(_table()[program]["by_hand"])


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    from ruamel.yaml import YAML

    text = files("orchestrator.catalog").joinpath("data", "host_packages.yml").read_text(encoding="utf-8")
    table: Mapping[str, Mapping[str, Any]] = YAML(typ="safe").load(text)
    return table
