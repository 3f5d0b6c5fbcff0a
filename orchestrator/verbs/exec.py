"""`labctl exec`: one command on many nodes at the same time."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from orchestrator.errors import SpecError


def command_line(words: Sequence[str]) -> str:
    """One word is a line for the node's shell, pipes and all; several words are a program and its arguments."""
    if not words:
        raise SpecError("exec needs a command", fix="labctl exec -- hostname")
    return words[0] if len(words) == 1 else shlex.join(words)
