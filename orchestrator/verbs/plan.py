"""`labctl plan`: load lab.yml, observe the host, decide; nothing is started and nothing is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from orchestrator.lab.planning import decide
from orchestrator.model import PLAN_SCHEMA, Plan
from orchestrator.spec import Spec


@dataclass(frozen=True)
class PlanResult:
    """Every decision and its reason."""

    plan: Plan
    schema = PLAN_SCHEMA

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready data."""
        document: dict[str, Any] = json.loads(self.plan.as_json())
        return document


def plan(spec: Spec) -> PlanResult:
    """The plan for this host as it is now. Raises SpecError or HostError with every problem."""
    return PlanResult(decide(spec))
