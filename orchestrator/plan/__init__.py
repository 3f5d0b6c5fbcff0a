"""plan(spec, catalog, observed) -> Plan: every decision about a lab, made before anything starts. Pure."""

from orchestrator.plan.decide import plan

__all__ = ["plan"]
