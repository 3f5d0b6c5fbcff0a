"""`labctl kubectl`: kubectl on the lab's cluster."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import proc
from orchestrator.lab.kubectl import kubectl_argv, kubectl_environment
from orchestrator.lab.state import Lab


def exec_kubectl(lab: Lab, arguments: Sequence[str]) -> None:
    """Replace this process by kubectl, which gives the terminal and the exit code."""
    proc.replace((*kubectl_argv(lab), *arguments), env=kubectl_environment(lab))
