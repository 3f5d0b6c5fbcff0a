"""`labctl init`: write the lab.yml of a new lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError
from orchestrator.lab.result import Result
from orchestrator.spec import template


@dataclass(frozen=True)
class Written(Result):
    """The file that was written."""

    file: str
    schema = "labctl/init/v1"


def refuse_existing(file: Path) -> None:
    """Raise SpecError for a file that exists."""
    if file.exists():
        raise SpecError(f"{file} exists and is left alone", fix=f"labctl plan, or: mv {file} {file}.old")


def render(chosen: Mapping[str, Any]) -> str:
    """The text of a new lab.yml for the chosen values, by dotted field; defaults of labctl are not written.

    Raises SpecError for values that do not go together.
    """
    return template.render({field: value for field, value in chosen.items() if value is not None})


def init(chosen: Mapping[str, Any], file: Path) -> Written:
    """Write it. Raises SpecError as both do, and for a folder that cannot be written to."""
    refuse_existing(file)
    text = render(chosen)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as problem:
        raise SpecError(f"{file} cannot be written: {problem.strerror}", fix="go to a folder of yours") from None
    return Written(str(file))
