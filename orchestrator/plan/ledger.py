"""Collects what planning decides and what it finds wrong, so that all problems are reported at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.catalog import Refusal
from orchestrator.errors import HostError, Problem, SpecError
from orchestrator.model import Decision
from orchestrator.spec import Spec


@dataclass
class Ledger:
    """Decisions in their order; `wrong` is for lab.yml (exit code 2), `unready` for the host (exit code 3)."""

    spec: Spec
    decisions: list[Decision] = field(default_factory=list)
    wrong: list[Problem] = field(default_factory=list)
    unready: list[Problem] = field(default_factory=list)

    def decide(self, name: str, value: object, reason: str = "") -> None:
        """Record a decision; the reason, when none is given, is the place the value comes from."""
        self.decisions.append(Decision(name, _text(value), reason or self.spec.why(name)))

    def refuse(self, name: str, what: str, fix: str) -> None:
        """The field asks for something that cannot work."""
        self.wrong.append(Problem(what, self.spec.at(name), fix))

    def refuse_all(self, refusals: tuple[Refusal, ...]) -> None:
        """The same for refusals of the catalogue."""
        for refusal in refusals:
            self.refuse(refusal.field, refusal.reason, refusal.nearest)

    def lack(self, what: str, fix: str, where: str = "this host") -> None:
        """The host is not ready for what is asked."""
        self.unready.append(Problem(what, where, fix))

    def settle(self) -> None:
        """Raise everything that is wrong; SpecError wins, since a change of lab.yml may cure the rest."""
        problems = [*self.wrong, *self.unready]
        if self.wrong:
            raise SpecError(_headline("this lab cannot work as asked", problems), problems=problems)
        if self.unready:
            raise HostError(_headline("this host is not ready", problems), problems=problems)


def _headline(text: str, problems: list[Problem]) -> str:
    return f"{text}: {len(problems)} problems" if len(problems) > 1 else text


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
