"""`labctl export superputty`: the nodes as sessions for SuperPuTTY, with the lab's key in PuTTY's format."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from orchestrator import host, proc
from orchestrator.errors import HostError
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab

_PACKAGES = {"apt": "putty-tools", "dnf": "putty", "zypper": "putty", "pacman": "putty"}


@dataclass(frozen=True)
class Sessions(Result):
    """The two files written: SuperPuTTY's sessions, and the private key they use (mode 0600)."""

    sessions: Path
    key: Path
    schema = "labctl/superputty/v1"


def files_of(lab: Lab, to: Path) -> Sessions:
    """The files that an export into the directory `to` writes."""
    return Sessions(to / f"{lab.plan.name}.xml", to / f"{lab.plan.name}.ppk")


def export_superputty(lab: Lab, to: Path) -> Sessions:
    """Write both files into `to`. Raises HostError without puttygen, and when they cannot be written."""
    if shutil.which("puttygen") is None:
        manager = host.package_manager()
        fix = host.install_command(manager, [_PACKAGES.get(manager, "putty")])
        raise HostError("puttygen, which converts the lab's key for PuTTY, is not installed", fix=fix)
    files = files_of(lab, to)
    try:
        to.mkdir(parents=True, exist_ok=True)
        # Created with its mode first: puttygen writes the key into a file that only the owner can read.
        os.close(os.open(files.key, os.O_CREAT | os.O_WRONLY, 0o600))
        files.key.chmod(0o600)
        proc.run(["puttygen", str(lab.directory.private_key), "-O", "private", "-o", str(files.key)], timeout=30)
        files.key.chmod(0o600)
        files.sessions.write_text(_document(lab, files.key), encoding="utf-8")
    except OSError as problem:
        raise HostError(f"{to} cannot be written: {problem.strerror}", fix="--to ANOTHER-DIRECTORY") from None
    except proc.ProcessFailed as problem:
        why = problem.result.tail
        raise HostError(f"puttygen cannot convert the lab's key: {why}", fix="labctl provision") from None
    return files


def _document(lab: Lab, key: Path) -> str:
    """SuperPuTTY's XML: one folder, one session per node over its forwarded port, no password."""
    root = ElementTree.Element("ArrayOfSessionData")
    for node in reported_nodes(lab):
        ElementTree.SubElement(
            root,
            "SessionData",
            SessionId=f"{lab.plan.name}/{node.name}",
            SessionName=node.name,
            ImageKey="computer",
            Host=node.ssh_host,
            Port=str(node.ssh_port),
            Proto="SSH",
            PuttySession="Default Settings",
            Username=node.ssh_user,
            ExtraArgs=f'-i "{key.resolve()}"',
        )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
