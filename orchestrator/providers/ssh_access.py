"""SSH with the lab's own key and the lab's own known_hosts: the key pair, the pinned host keys, the command line."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator import paths, proc
from orchestrator.model import Node
from orchestrator.paths import LabDir


def ensure_key(lab: LabDir) -> str:
    """The lab's public key; the pair is made if it is not there, is damaged, or does not belong together."""
    return _ensure_pair(lab.private_key, f"labctl {lab.root.name}")


def ensure_node_key(lab: LabDir) -> str:
    """The public key with which the nodes let each other in, the pair made like the lab's own."""
    return _ensure_pair(lab.node_key, f"nodes of {lab.root.name}")


def _ensure_pair(private: Path, comment: str) -> str:
    public = private.with_suffix(".pub")
    if not _whole(private, public):
        private.unlink(missing_ok=True)
        public.unlink(missing_ok=True)
        proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(private)])
    return public.read_text(encoding="ascii").strip()


def _whole(private: Path, public: Path) -> bool:
    """Whether the private key can be used and the public one is its other half."""
    if not (private.exists() and public.exists()):
        return False
    private.chmod(0o600)
    told = proc.run(["ssh-keygen", "-y", "-P", "", "-f", str(private)], check=False)
    there = public.read_text(encoding="ascii", errors="replace").split()
    return told.ok and told.stdout.split()[:2] == there[:2]


def new_host_key() -> tuple[bytes, str]:
    """A fresh host key for a machine that its provider makes: the private key file, the public key."""
    with tempfile.TemporaryDirectory(prefix="labctl-", dir=paths.runtime_dir()) as directory:
        file = Path(directory, "key")
        proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)])
        public = file.with_suffix(".pub").read_text(encoding="ascii").split()
        return file.read_bytes(), " ".join(public[:2])


def known_hosts(nodes: Iterable[Node]) -> str:
    """A known_hosts text that pins each node's host keys to the address it is reached at."""
    lines = []
    for node in nodes:
        place = node.ssh_host if node.ssh_port == 22 else f"[{node.ssh_host}]:{node.ssh_port}"
        lines += [f"{place} {key}" for key in node.host_keys]
    return "".join(f"{line}\n" for line in lines)


def write_known_hosts(lab: LabDir, nodes: Iterable[Node]) -> None:
    """Replace the lab's known_hosts by what the provider says now; the file is new or old, never half."""
    fresh = lab.known_hosts.with_name(f".known_hosts.{os.getpid()}")
    fresh.write_text(known_hosts(nodes), encoding="ascii")
    fresh.chmod(0o600)
    fresh.replace(lab.known_hosts)


def control_path() -> Path:
    """Where ssh keeps its shared connections: a short path, because socket paths end at 108 bytes."""
    directory = paths.runtime_dir() / "ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / "%C"


def end_shared(user: str, port: int, address: str = "127.0.0.1") -> None:
    """End the shared connection to a node, if there is one, so that no ssh process outlives its machine."""
    directory = paths.runtime_dir() / "ssh"
    if directory.is_dir() and any(directory.iterdir()):
        argv = ["ssh", "-F", "/dev/null", "-O", "exit", "-o", f"ControlPath={control_path()}", "-p", str(port)]
        proc.run([*argv, f"{user}@{address}"], check=False, timeout=10)


def end_connections(uuid: str) -> None:
    """End the shared connections that Ansible holds to the nodes of a lab, and remove their directory."""
    directory = paths.runtime_dir() / uuid[:8]
    for path in directory.glob("*") if directory.is_dir() else ():
        proc.run(["ssh", "-F", "/dev/null", "-O", "exit", "-o", f"ControlPath={path}", "node"], check=False, timeout=10)
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


def options(lab: LabDir, *, shared: bool = True) -> list[str]:
    """The ssh options of this lab: only its key, only its known_hosts, no agent; `shared` reuses connections."""
    chosen = {
        "IdentityFile": str(lab.private_key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": str(lab.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "PasswordAuthentication": "no",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "LogLevel": "ERROR",
    }
    if shared:
        chosen |= {"ControlMaster": "auto", "ControlPersist": "60s", "ControlPath": str(control_path())}
    else:
        chosen |= {"ControlMaster": "no", "ControlPath": "none"}
    return [word for key, value in chosen.items() for word in ("-o", f"{key}={value}")]


def ssh_argv(
    lab: LabDir, node: Node, *, command: Sequence[str] = (), tty: bool = False, shared: bool = True
) -> list[str]:
    """The ssh command line for a node; -F /dev/null keeps the user's own configuration out of it."""
    return [
        "ssh",
        "-F",
        "/dev/null",
        *options(lab, shared=shared),
        *(["-t"] if tty else []),
        "-p",
        str(node.ssh_port),
        f"{node.ssh_user}@{node.ssh_host}",
        *command,
    ]
