"""plan(spec, catalog, observed) -> Plan: every decision about a lab, made before anything starts. Pure."""

from orchestrator.plan.decide import plan
from orchestrator.plan.provider import Selection, select

__all__ = ["Selection", "plan", "select"]
