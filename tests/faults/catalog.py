"""The fault cases as data: loaded and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestrator.drills.steps import Place, Step
from tests.scenarios import case_steps, read_cases

FILE = Path(__file__).with_name("cases.yml")

Kind = Literal["cluster", "bare"]
Start = Literal["healthy", "reset", "worker-gone", "nothing"]


@dataclass(frozen=True)
class Moment:
    """When a fault strikes a running `provision`: in the phase of this title, once `until` succeeds on `node`.

    `random` strikes at a moment drawn from the length of the last run that began the same way.
    """

    phase: str = ""
    node: Place = "control_plane"
    until: str = "true"
    random: bool = False


@dataclass(frozen=True)
class Refusal:
    """How labctl refuses: its exit code, words it must say, and what of its fix is typed (a regular expression).

    Where the fix is a thing to do in the world ("free space"), `remedy` is empty and the case's `repair` does it.
    """

    code: int
    says: str
    remedy: str = ""


@dataclass(frozen=True)
class Case:
    """One fault; the fields are explained at the top of cases.yml."""

    id: str
    breaks: tuple[Step, ...]
    lab: Kind = "cluster"
    start: Start = "healthy"
    moment: Moment | None = None
    expect: Refusal | None = None
    repair: tuple[Step, ...] = ()
    first: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()
    providers: tuple[str, ...] = ("container", "vm")
    representative: bool = False
    times: int = 1
    number: int = field(default=1, compare=False)

    @property
    def outcome(self) -> str:
        """What is expected, in words for a table."""
        return f"refused with code {self.expect.code}" if self.expect else "healed"

    def runs_on(self, provider: str) -> bool:
        """Whether this case may be done to machines of a provider."""
        return ("container" if provider == "container" else "vm") in self.providers


def load() -> list[Case]:
    """All cases in the order of the file."""
    return [_case(entry) for entry in read_cases(FILE)]


def _case(entry: Mapping[str, Any]) -> Case:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    node = values.pop("node", "host")
    breaks = case_steps(values.pop("break"), node)
    repair = case_steps(values.pop("repair", ()), node, breaks)
    if "moment" in values:
        values["moment"] = Moment(**values["moment"])
    if "expect" in values:
        values["expect"] = Refusal(**values["expect"])
    return Case(breaks=breaks, repair=repair, **values)
