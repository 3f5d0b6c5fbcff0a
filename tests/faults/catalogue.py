"""The fault cases as data: loaded and typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

FILE = Path(__file__).with_name("cases.yml")

Kind = Literal["cluster", "bare"]
Start = Literal["healthy", "reset", "worker-gone", "nothing"]


@dataclass(frozen=True)
class Moment:
    """When a fault strikes a running `provision`: in the phase of this title, once `until` succeeds on `node`.

    `random` strikes at a moment drawn from the length of the last run that began the same way.
    """

    phase: str = ""
    node: str = "m-k8s"
    until: str = "true"
    random: bool = False


@dataclass(frozen=True)
class Refusal:
    """How labctl refuses: its exit code, words it must say, and what of its fix is typed (a regular expression).

    Where the fix is a thing to do in the world ("free space"), `remedy` is empty and the case's `undo` does it.
    """

    code: int
    says: str
    remedy: str = ""


@dataclass(frozen=True)
class Case:
    """One fault; the fields are explained at the top of cases.yml."""

    id: str
    inject: str
    place: str = "host"
    lab: Kind = "cluster"
    start: Start = "healthy"
    moment: Moment | None = None
    refused: Refusal | None = None
    undo: str = ""
    first: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()
    providers: tuple[str, ...] = ("container", "vm")
    representative: bool = False
    times: int = 1
    number: int = field(default=1, compare=False)

    @property
    def outcome(self) -> str:
        """What is expected, in words for a table."""
        return f"refused with code {self.refused.code}" if self.refused else "healed"

    def runs_on(self, provider: str) -> bool:
        """Whether this case may be done to machines of a provider."""
        return ("container" if provider == "container" else "vm") in self.providers


def load() -> list[Case]:
    """All cases in the order of the file."""
    return [_case(entry) for entry in yaml.safe_load(FILE.read_text(encoding="utf-8"))["cases"]]


def _case(entry: dict[str, Any]) -> Case:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    if "moment" in values:
        values["moment"] = Moment(**values["moment"])
    if "refused" in values:
        values["refused"] = Refusal(**values["refused"])
    return Case(**values)
