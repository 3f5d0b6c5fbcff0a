"""`labctl exec`: one command on many nodes at the same time."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from orchestrator.errors import SpecError
from orchestrator.lab.node_commands import NodeResult, NodeResults, run_on_nodes
from orchestrator.lab.state import Lab


def run_command(
    lab: Lab, pattern: str, words: Sequence[str], *, timeout: float, on_result: Callable[[NodeResult], None]
) -> NodeResults:
    """Run the command on every selected node at once. Raises as `run_on_nodes`, and SpecError without a command."""
    return run_on_nodes(lab, pattern, command_line(words), timeout=timeout, on_result=on_result)


def command_line(words: Sequence[str]) -> str:
    """One word is a line for the node's shell, pipes and all; several words are a program and its arguments."""
    if not words:
        raise SpecError("exec needs a command", fix="labctl exec -- hostname")
    return words[0] if len(words) == 1 else shlex.join(words)
