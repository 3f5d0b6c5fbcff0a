"""Runs a playbook over the nodes of an observed lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import inventory, runner
from orchestrator.events import Emit
from orchestrator.lab.inventory import inventory_document
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.runner import RunSummary


def run_playbook(
    observed: ObservedLab,
    playbook: str | Path,
    *,
    emit: Emit,
    deadline: float,
    extra_vars: Mapping[str, Any] | None = None,
    skipped: Sequence[str] = (),
    again: str = "labctl provision",
) -> RunSummary:
    """Run `playbooks/<playbook>`, or the playbook at a Path, over the running nodes, without the tags in `skipped`.

    Raises ConvergeError, which names `again` as the command that continues.
    """
    return runner.run_playbook(
        playbook,
        lab=observed.lab.directory,
        inventory=inventory.as_file(inventory_document(observed)),
        emit=emit,
        deadline=deadline,
        extra_vars=extra_vars,
        skipped=skipped,
        again=again,
    )
