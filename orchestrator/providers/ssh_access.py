"""SSH with the lab's own key and the lab's own known_hosts: the key pair, the pinned host keys, the command line."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from orchestrator import paths, proc
from orchestrator.model import Node
from orchestrator.paths import LabDir, write_private
from orchestrator.ssh_options import NO_USER_CONFIG, as_arguments, as_config, session_options


def ensure_key(lab: LabDir) -> str:
    """The lab's public key; the pair is created when it is missing, damaged or does not match."""
    return _ensure_pair(lab.private_key, f"labctl {lab.root.name}")


def ensure_node_key(lab: LabDir) -> str:
    """The public key with which the nodes log in to each other, created like the lab's own."""
    return _ensure_pair(lab.node_key, f"nodes of {lab.root.name}")


def _ensure_pair(private: Path, comment: str) -> str:
    public = private.with_suffix(".pub")
    if not _is_pair(private, public):
        private.unlink(missing_ok=True)
        public.unlink(missing_ok=True)
        _create_key(private, comment)
    return public.read_text(encoding="ascii").strip()


def _create_key(file: Path, comment: str) -> None:
    proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file)])


def _is_pair(private: Path, public: Path) -> bool:
    """Whether the private key can be used and the public key belongs to it."""
    if not (private.exists() and public.exists()):
        return False
    private.chmod(0o600)
    derived = proc.run(["ssh-keygen", "-y", "-P", "", "-f", str(private)], check=False)
    existing = public.read_text(encoding="ascii", errors="replace").split()
    return derived.ok and derived.stdout.split()[:2] == existing[:2]


def new_host_key() -> tuple[bytes, str]:
    """A new host key for a machine: the content of the private key file, and the public key."""
    with tempfile.TemporaryDirectory(prefix="labctl-", dir=paths.runtime_dir()) as directory:
        file = Path(directory, "key")
        _create_key(file, "")
        public = file.with_suffix(".pub").read_text(encoding="ascii").split()
        return file.read_bytes(), " ".join(public[:2])


def known_hosts(nodes: Iterable[Node]) -> str:
    """A known_hosts text that pins each node's host keys to the address it is reached at."""
    lines = []
    for node in nodes:
        place = node.ssh_host if node.ssh_port == 22 else f"[{node.ssh_host}]:{node.ssh_port}"
        lines += [f"{place} {key}" for key in node.host_keys]
    return "".join(f"{line}\n" for line in lines)


def host_keys_in(known_hosts: str) -> tuple[str, ...]:
    """The keys of a known_hosts text or of a scan, without the places they belong to."""
    rows = (line.split() for line in known_hosts.splitlines() if line and not line.startswith("#"))
    return tuple(" ".join(row[1:3]) for row in rows if len(row) >= 3)


def write_known_hosts(lab: LabDir, nodes: Iterable[Node]) -> None:
    """Replace the lab's known_hosts by the host keys of these nodes."""
    write_private(lab.known_hosts, known_hosts(nodes))


def control_path() -> Path:
    """Where ssh keeps its shared connections: a short path, because socket paths end at 108 bytes."""
    directory = paths.runtime_dir() / "ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / "%C"


def end_shared(user: str, port: int, address: str = "127.0.0.1") -> None:
    """End the shared connections to a node, if there are any, so that no ssh process outlives its machine."""
    directory = paths.runtime_dir() / "ssh"
    for name in {user, "root"} if directory.is_dir() and any(directory.iterdir()) else ():
        _end(control_path(), "-p", str(port), f"{name}@{address}")


def end_connections(uuid: str) -> None:
    """End the shared connections that Ansible holds to the nodes of a lab, and remove their directory."""
    directory = paths.runtime_dir() / uuid[:8]
    for path in directory.glob("*") if directory.is_dir() else ():
        _end(path, "node")
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


def _end(control: Path, *place: str) -> None:
    argv = ["ssh", *NO_USER_CONFIG, "-O", "exit", *as_arguments({"ControlPath": str(control)}), *place]
    proc.run(argv, check=False, timeout=10)


def options(lab: LabDir, *, shared: bool = True) -> dict[str, str]:
    """The SSH options of this lab; `shared` reuses one connection for many commands."""
    if shared:
        control = {"ControlMaster": "auto", "ControlPersist": "60s", "ControlPath": str(control_path())}
    else:
        control = {"ControlMaster": "no", "ControlPath": "none"}
    return {**session_options(lab.private_key, lab.known_hosts), **control}


def ssh_argv(
    lab: LabDir, node: Node, *, command: Sequence[str] = (), tty: bool = False, shared: bool = True
) -> list[str]:
    """The ssh command line for a node."""
    arguments = [*as_arguments(options(lab, shared=shared)), *(["-t"] if tty else [])]
    return ["ssh", *NO_USER_CONFIG, *arguments, *destination(node), *command]


def login_failure(lab: LabDir, node: Node, seconds: float = 60) -> str | None:
    """What ssh says when the lab cannot log in to a node; None when it can."""
    try:
        result = proc.run(ssh_argv(lab, node, command=["true"], shared=False), check=False, timeout=seconds)
    except proc.ProcessFailed as problem:
        return str(problem)
    return None if result.ok else result.stderr.strip() or "no answer"


def is_host_key_mismatch(cause: str) -> bool:
    """Whether a login failed because the node shows another host key than the pinned one."""
    return "HOST IDENTIFICATION HAS CHANGED" in cause or "verification failed" in cause


def destination(node: Node) -> list[str]:
    """The arguments of ssh that name a node."""
    return ["-p", str(node.ssh_port), f"{node.ssh_user}@{node.ssh_host}"]


def ssh_config(lab: LabDir, nodes: Iterable[Node]) -> str:
    """An ssh_config with one Host per node: `ssh -F FILE m-k8s` logs in with the lab's key, host key pinned."""
    values = options(lab, shared=False)
    del values["LogLevel"]
    head = f"# The nodes of {lab.root.name} ({lab.root}), written by labctl."
    return "\n\n".join([head, *as_config(values, nodes)]) + "\n"


def windows_ssh_config(name: str, nodes: Iterable[Node], folder: PureWindowsPath) -> str:
    """An ssh_config for Windows' OpenSSH, whose key and known_hosts lie beside it in `folder`."""
    values = session_options(folder / "id_ed25519", folder / "known_hosts")
    # Windows has no /dev/null, and its own file of host keys names none of the lab's ports.
    for option in ("LogLevel", "GlobalKnownHostsFile"):
        del values[option]
    return "\n\n".join([f"# The nodes of {name}, written by labctl for Windows.", *as_config(values, nodes)]) + "\n"
