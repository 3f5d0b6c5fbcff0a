"""Renders a lab.yml with every key and what it means: what was chosen stands there, everything else behind a #."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from orchestrator.spec.load import Override, parse
from orchestrator.spec.schema import Section, section_of_entries

INTRO = """\
# A lab of labctl. What stands behind a # is what the key is without being written: remove the # to change it.
# `labctl plan` shows what becomes of this file and why; `labctl provision` makes it so.
version: 1
"""
_COLUMN, _WIDTH = 44, 120


def render(chosen: Mapping[str, Any]) -> str:
    """The file for these values, by dotted field. Raises SpecError when they do not go together."""
    lab = parse("", overrides=[Override(field, value, field) for field, value in chosen.items()]).lab
    return INTRO + "\n".join(_lines(lab, "", chosen)) + "\n"


def _lines(section: Section, prefix: str, chosen: Mapping[str, Any]) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for name, info in type(section).model_fields.items():
        field, value = f"{prefix}{name}", getattr(section, name)
        if field == "version":
            continue
        if isinstance(value, Section):
            is_chosen = any(one.startswith(f"{field}.") for one in chosen)
            yield ""
            yield f"{indent}# {info.description}"
            yield f"{indent}{'' if is_chosen else '# '}{name}:"
            # Below a key that is behind a # nothing else may stand in front of one.
            yield from _lines(value, f"{field}.", chosen)
        else:
            line = f"{indent}{'' if field in chosen else '# '}{name}: {_scalar(value)}"
            whole = f"{line:<{_COLUMN}} # {info.description}"
            yield from [whole] if len(whole) <= _WIDTH else [f"{indent}# {info.description}:", line]
            if entries := section_of_entries(info):
                yield from (f"{indent}#   {key}: {of.description}" for key, of in entries.model_fields.items())


def _scalar(value: Any) -> str:
    """A value in YAML, on one line."""
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.split("\n...")[0].strip()
