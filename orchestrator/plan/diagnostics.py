"""What planning works with and what it collects, so that all problems are reported at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.catalog import Catalog, Refusal
from orchestrator.errors import HostError, Problem, SpecError
from orchestrator.model import Decision
from orchestrator.observed import Observed
from orchestrator.spec import Spec


@dataclass
class Diagnostics:
    """The inputs of a plan, the decisions in their order, and the problems.

    `spec_problems` are for lab.yml (exit code 2), `host_problems` for the host (exit code 3).
    """

    spec: Spec
    catalog: Catalog
    observed: Observed
    decisions: list[Decision] = field(default_factory=list)
    spec_problems: list[Problem] = field(default_factory=list)
    host_problems: list[Problem] = field(default_factory=list)

    def decide(self, name: str, value: object, reason: str = "") -> None:
        """Record a decision; the reason, when none is given, is the place the value comes from."""
        self.decisions.append(Decision(name, _text(value), reason or self.spec.why(name)))

    def refuse(self, name: str, what: str, fix: str) -> None:
        """Record that the field asks for something that cannot work."""
        self.spec_problems.append(Problem(what, self.spec.at(name), fix))

    def refuse_all(self, refusals: tuple[Refusal, ...]) -> None:
        """Record refusals of the catalog."""
        for refusal in refusals:
            self.refuse(refusal.field, refusal.reason, refusal.nearest)

    def lack(self, what: str, fix: str, name: str = "") -> None:
        """Record what the host lacks, for the field `name` or for any lab."""
        self.host_problems.append(Problem(what, self.spec.at(name) if name else "this host", fix))

    def raise_problems(self) -> None:
        """Raise all problems; SpecError goes first, since a change of lab.yml may solve the rest."""
        problems = [*self.spec_problems, *self.host_problems]
        count = f": {len(problems)} problems" if len(problems) > 1 else ""
        if self.spec_problems:
            raise SpecError(f"this lab cannot work as specified{count}", problems=problems)
        if problems:
            raise HostError(f"this host is not ready{count}", problems=problems)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
