"""`labctl verify`: run the roles' checks on every node and the cluster's checks."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.checks.model import Report
from orchestrator.events import Emit
from orchestrator.lab.observed_lab import observe_lab
from orchestrator.lab.state import Lab
from orchestrator.lab.verification import verify_lab


def verify(lab: Lab, *, emit: Emit, only: Sequence[str] = (), direct: bool = False) -> Report:
    """The report of the checks, all of them or those that `only` selects. Raises SpecError, LabError."""
    return verify_lab(observe_lab(lab), emit=emit, only=only, direct=direct)
