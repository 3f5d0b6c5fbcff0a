"""`labctl console`: every node in a pane of one tmux window, one keyboard for all of them."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator import proc
from orchestrator.checks.host import install_remedy
from orchestrator.errors import HostError
from orchestrator.lab.node_access import running_nodes
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.lab.tmux import tmux_argv
from orchestrator.model import Node
from orchestrator.providers.ssh_access import ssh_argv

SESSION = "=lab"
WINDOW = "=lab:"
# After tmux's prefix key (Ctrl-b): typing goes to all panes, or to one.
SYNCHRONIZE_KEY = "S"


@dataclass(frozen=True)
class Console(Result):
    """A console that was opened: the command that shows it."""

    attach: tuple[str, ...]
    schema = "labctl/console/v1"


def open_console(lab: Lab, pattern: str) -> Console:
    """Open the window with one pane per selected node; one that is open already is replaced.

    Raises HostError without tmux, SpecError for a pattern without a node, ProviderError for a node that does not run.
    """
    if shutil.which("tmux") is None:
        raise HostError("console needs tmux", fix=install_remedy("tmux"))
    nodes = running_nodes(lab, pattern)
    tmux = tmux_argv(lab.plan.uuid)
    proc.run([*tmux, "kill-session", "-t", SESSION], check=False, timeout=10)
    proc.run([*tmux, *_window_commands(lab, nodes)], timeout=30)
    return Console((*tmux, "attach-session", "-t", SESSION))


def exec_console(console: Console) -> None:
    """Replace this process by tmux."""
    proc.replace(console.attach)


def _window_commands(lab: Lab, nodes: Sequence[Node]) -> list[str]:
    """tmux's commands, as one list of arguments, that create the window with synchronized panes."""
    shells = [shlex.join(ssh_argv(lab.directory, node, tty=True, shared=False)) for node in nodes]
    title = f"{lab.plan.name}: typing goes to all; Ctrl-b {SYNCHRONIZE_KEY} switches, Ctrl-b d leaves"
    commands = [["new-session", "-d", "-s", "lab", "-n", lab.plan.name, "-x", "200", "-y", "50", shells[0]]]
    for shell in shells[1:]:
        # Laid out after each: a window that is only split has no room for the last panes.
        commands += [["split-window", "-t", WINDOW, shell], ["select-layout", "-t", WINDOW, "tiled"]]
    commands += [
        ["set-option", "-w", "-t", WINDOW, "synchronize-panes", "on"],
        ["set-option", "-w", "-t", WINDOW, "pane-border-status", "top"],
        ["set-option", "-g", "mouse", "on"],
        ["set-option", "-g", "status-right", title],
        ["set-option", "-g", "status-right-length", str(len(title))],
        ["bind-key", SYNCHRONIZE_KEY, "set-option", "-w", "synchronize-panes"],
    ]
    commands += [["select-pane", "-t", f"{WINDOW}.{index}", "-T", node.name] for index, node in enumerate(nodes)]
    first, *others = commands
    return [*first, *(word for command in others for word in (";", *command))]
