"""`labctl console`: every node in a pane of one tmux window, one keyboard for all of them."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence

from orchestrator import host, proc
from orchestrator.errors import HostError, ProviderError
from orchestrator.lab import node_selection as selection
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.state import Lab
from orchestrator.model import Node
from orchestrator.providers import ssh_access

# With tmux's prefix key (Ctrl-b) before it: typing goes to all panes, or to the one pane.
SWITCH_KEY = "S"


def socket_name(uuid: str) -> str:
    """The name of the lab's own tmux server: the user's sessions and settings are left alone."""
    return f"labctl-{uuid[:8]}"


def open_panes(lab: Lab, pattern: str) -> list[str]:
    """Make the window with one pane per selected node, or find it again; returns the command that shows it.

    Raises HostError without tmux, SpecError for a pattern without a node, ProviderError for a node that is down.
    """
    if shutil.which("tmux") is None:
        manager = host.package_manager()
        raise HostError("console needs tmux", fix=host.install_command(manager, ["tmux"]))
    names = [node.name for node in selection.chosen(lab.plan, pattern)]
    nodes = [node for node in reported_nodes(lab) if node.name in names]
    if down := [f"{node.name} is {node.state}" for node in nodes if node.state != "running"]:
        raise ProviderError(f"no shell there: {', '.join(down)}", fix="labctl start")
    tmux = ["tmux", "-L", socket_name(lab.plan.uuid), "-f", os.devnull]
    # A console that was left with other nodes in it is made anew: the panes are what was asked for.
    proc.run([*tmux, "kill-session", "-t", "=lab"], check=False, timeout=10)
    proc.run([*tmux, *commands(lab, nodes)], timeout=30)
    return [*tmux, "attach-session", "-t", "=lab"]


def commands(lab: Lab, nodes: Sequence[Node]) -> list[str]:
    """tmux's commands, in one line of arguments, that make the window with typing synchronised."""
    shells = [shlex.join(ssh_access.ssh_argv(lab.directory, node, tty=True, shared=False)) for node in nodes]
    title = f"{lab.plan.name}: typing goes to all; Ctrl-b {SWITCH_KEY} switches, Ctrl-b d leaves"
    steps = [["new-session", "-d", "-s", "lab", "-n", lab.plan.name, "-x", "200", "-y", "50", shells[0]]]
    for shell in shells[1:]:
        # Laid out after each: a window that is split again and again has no room for the last ones.
        steps += [["split-window", "-t", "=lab:", shell], ["select-layout", "-t", "=lab:", "tiled"]]
    steps += [
        ["set-option", "-w", "-t", "=lab:", "synchronize-panes", "on"],
        ["set-option", "-w", "-t", "=lab:", "pane-border-status", "top"],
        ["set-option", "-g", "mouse", "on"],
        ["set-option", "-g", "status-right", title],
        ["set-option", "-g", "status-right-length", str(len(title))],
        ["bind-key", SWITCH_KEY, "set-option", "-w", "synchronize-panes"],
    ]
    steps += [["select-pane", "-t", f"=lab:.{index}", "-T", node.name] for index, node in enumerate(nodes)]
    line: list[str] = []
    for step in steps:
        line += [*([";"] if line else []), *step]
    return line


def become(argv: Sequence[str]) -> None:
    """Replace this process by tmux."""
    proc.replace(argv)


def close(uuid: str) -> None:
    """End the console's tmux server, when there is one."""
    if shutil.which("tmux"):
        proc.run(["tmux", "-L", socket_name(uuid), "kill-server"], check=False, timeout=10)
