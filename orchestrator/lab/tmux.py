"""The tmux server of a lab's console: its own one, apart from the user's sessions and settings."""

from __future__ import annotations

import os
import shutil

from orchestrator import proc


def tmux_argv(uuid: str) -> tuple[str, ...]:
    """The tmux command line that talks to the lab's own server."""
    return ("tmux", "-L", f"labctl-{uuid[:8]}", "-f", os.devnull)


def stop_tmux(uuid: str) -> None:
    """End the lab's tmux server, if there is one."""
    if shutil.which("tmux"):
        proc.run([*tmux_argv(uuid), "kill-server"], check=False, timeout=10)
