"""`labctl export superputty`: the nodes as sessions for SuperPuTTY, with the lab's key in PuTTY's format."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePath
from xml.etree import ElementTree

from orchestrator import proc
from orchestrator.checks.host import install_remedy
from orchestrator.errors import HostError
from orchestrator.lab import windows
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.lab.windows import WindowsFolder


@dataclass(frozen=True)
class Sessions(Result):
    """The two files written: SuperPuTTY's sessions, and the private key they use (mode 0600); what is left to do."""

    sessions: Path
    key: Path
    steps: tuple[str, ...] = ()
    schema = "labctl/superputty/v1"


def files_of(lab: Lab, to: Path, folder: WindowsFolder | None = None) -> Sessions:
    """The files that an export into the directory `to` writes; `folder` has them on Windows."""
    names = (f"{lab.plan.name}.xml", f"{lab.plan.name}.ppk")
    if folder is None:
        return Sessions(to / names[0], to / names[1])
    imported = f"SuperPuTTY: File > Import Sessions > From File, {folder.there / names[0]}"
    return Sessions(folder.here / names[0], folder.here / names[1], (*folder.steps(), imported))


def export_superputty(lab: Lab, to: Path, folder: WindowsFolder | None = None) -> Sessions:
    """Write both files. Raises HostError without puttygen, and when they cannot be written."""
    if shutil.which("puttygen") is None:
        what = "puttygen, which converts the lab's key for PuTTY, is not installed"
        raise HostError(what, fix=install_remedy("puttygen"))
    files = files_of(lab, to, folder)
    to = files.key.parent
    try:
        to.mkdir(parents=True, exist_ok=True)
        # Created with its mode first: puttygen writes the key into a file that only the owner can read.
        os.close(os.open(files.key, os.O_CREAT | os.O_WRONLY, 0o600))
        files.key.chmod(0o600)
        proc.run(["puttygen", str(lab.directory.private_key), "-O", "private", "-o", str(files.key)], timeout=30)
        files.key.chmod(0o600)
        if folder is None:
            files.sessions.write_text(_document(lab, files.key.resolve()), encoding="utf-8")
        else:
            windows.write_text(files.key, files.key.read_text(encoding="ascii"))
            windows.write_text(files.sessions, _document(lab, folder.there / files.key.name))
    except OSError as problem:
        raise HostError(f"{to} cannot be written: {problem.strerror}", fix="--to ANOTHER-DIRECTORY") from None
    except proc.ProcessFailed as problem:
        why = problem.result.tail
        raise HostError(f"puttygen cannot convert the lab's key: {why}", fix="labctl provision") from None
    return files


def _document(lab: Lab, key: PurePath) -> str:
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
            ExtraArgs=f'-i "{key}"',
        )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
