"""Cases of drift and faults as data: read from YAML, their steps in the schema that drills have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from ruamel.yaml import YAML

from orchestrator.drills.steps import Step, Steps, resolved


def read_cases(file: Path) -> list[dict[str, Any]]:
    """The entries below `cases:` in the order of the file."""
    entries: list[dict[str, Any]] = YAML(typ="safe").load(file)["cases"]
    return entries


def case_steps(value: Any, node: str, breaks: Sequence[Step] = ()) -> tuple[Step, ...]:
    """The steps of a case; those that name no node run on the case's, and `use: undo` takes the break back."""
    entries = value if isinstance(value, list | tuple) else [value]
    texts = ({"shell": entry} if isinstance(entry, str) else dict(entry) for entry in entries)
    return resolved(TypeAdapter(Steps).validate_python([{"node": node, **entry} for entry in texts]), breaks)
