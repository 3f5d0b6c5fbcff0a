"""`labctl logs`: a support archive of the lab, with everything secret taken out before it is written."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from orchestrator import host, proc
from orchestrator.errors import HostError, LabError
from orchestrator.events import Emit, Note, Step, phase
from orchestrator.lab.kubectl import kubeconfig_path, kubectl_argv
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.redact import Redactor
from orchestrator.lab.state import Lab
from orchestrator.model import Node
from orchestrator.providers import ssh_access

# File of the archive -> what prints it on a node, as root. All read only.
ON_NODE = {
    "journal.txt": "journalctl --no-pager -n 3000 -o short-iso -u kubelet -u docker -u containerd -u cri-docker -u ssh",
    "boot.txt": "journalctl --no-pager -b -p warning -n 1000 -o short-iso",
    "units.txt": "systemctl --no-pager --failed; systemctl --no-pager list-units --type=service",
    "network.txt": "ip address; ip route; iptables-save -c; cat /etc/hosts /etc/resolv.conf",
    "machine.txt": "uname -a; cat /etc/os-release; df -h; free -m; ps axo pid,ppid,stat,rss,etime,comm; sysctl -a 2>&1",
    "containers.txt": "docker ps -a 2>/dev/null || crictl ps -a",
    "kubernetes.txt": "ls -lR /etc/kubernetes /etc/cni /var/lib/kubelet/config.yaml; cat /var/lib/kubelet/config.yaml",
}  # fmt: skip
IN_CLUSTER = {
    "objects.txt": ("get", "all", "-A", "-o", "wide"),
    "nodes.txt": ("describe", "nodes"),
    "events.txt": ("get", "events", "-A", "--sort-by=.lastTimestamp"),
    "system-pods.txt": ("-n", "kube-system", "describe", "pods"),
}
SECONDS = 60.0
LARGEST = 4 << 20


def pack(lab: Lab, target: Path, emit: Emit) -> list[str]:
    """Write the archive (tar.gz, mode 0600) and return the names in it; what cannot be had is said inside.

    Raises HostError when it cannot be written. Keys, kubeconfigs and the like are not packed; what looks like a
    secret in the rest is replaced.
    """
    redact = Redactor(_known_secrets(lab))
    top = target.name.removesuffix(".tar.gz")
    names: list[str] = []
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as raw,
            tarfile.open(fileobj=raw, mode="w:gz") as archive,
            phase(emit, "logs", f"Collect what {lab.plan.name} says"),
        ):
            for name, text in _collected(lab, emit):
                data = redact(text).encode()
                entry = tarfile.TarInfo(f"{top}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
                names.append(name)
        fresh.replace(target)
    except OSError as problem:
        raise HostError(f"{target} cannot be written: {problem.strerror}", fix="labctl logs --to FILE") from None
    finally:
        fresh.unlink(missing_ok=True)
    return names


def _collected(lab: Lab, emit: Emit) -> Iterator[tuple[str, str]]:
    seen = asdict(host.facts(lab.directory.root))
    about = {"labctl": metadata.version("kubeadm-lab"), "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **seen}
    yield "host.json", json.dumps(about, indent=2, default=str)
    yield from _state(lab)
    nodes = reported_nodes(lab)
    yield "machines.txt", "".join(f"{node.name} {node.state} {node.detail}\n" for node in nodes)
    with ThreadPoolExecutor(16) as pool:
        running = [node for node in nodes if node.state == "running"]
        for node, files in zip(running, pool.map(lambda node: _of_node(lab, node), running), strict=True):
            emit(Step(phase="logs", node=node.name, name="collect its logs", status="ok"))
            yield from ((f"{node.name}/{name}", text) for name, text in files.items())
    if lab.plan.kubernetes is not None:
        emit(Step(phase="logs", name="ask the cluster"))
        try:
            yield from _of_cluster(lab)
        except LabError as problem:
            emit(Note(phase="logs", text=f"nothing of the cluster: {problem.message}"))
            yield "cluster/trouble.txt", problem.message + "\n"


def _state(lab: Lab) -> Iterator[tuple[str, str]]:
    """Plan, journal, reports and what Ansible printed; never ssh/, kubeconfig or a run's variables."""
    root = lab.directory.root
    files = [lab.directory.plan, lab.directory.journal, lab.directory.log, *sorted(lab.directory.reports.glob("*"))]
    files += sorted(root.glob("runs/*/artifacts/*/stdout"))
    lab_file = Path(lab.plan.owner) / "lab.yml"
    for path in [lab_file, *files]:
        if path.is_file():
            name = path.name if path == lab_file else f"state/{path.relative_to(root)}"
            yield name, path.read_text(encoding="utf-8", errors="replace")[-LARGEST:]


def _of_node(lab: Lab, node: Node) -> Mapping[str, str]:
    def ask(command: str) -> str:
        return _told(ssh_access.ssh_argv(lab.directory, node, command=("sudo", "sh", "-s")), command)

    return {name: ask(command) for name, command in ON_NODE.items()}


def _of_cluster(lab: Lab) -> Iterator[tuple[str, str]]:
    program, config = kubectl_argv(lab), kubeconfig_path(lab)
    for name, arguments in IN_CLUSTER.items():
        argv = [*program, f"--kubeconfig={config}", "--request-timeout=10s", *arguments]
        yield f"cluster/{name}", _told(argv)


def _told(argv: list[str], stdin: str | None = None) -> str:
    try:
        done = proc.run(argv, check=False, timeout=SECONDS, stdin=stdin)
    except proc.ProcessFailed as problem:
        return f"{problem}\n"
    return (done.stdout + done.stderr)[-LARGEST:]


def _known_secrets(lab: Lab) -> list[str]:
    """What labctl itself keeps secret for this lab: the body of its key, and every word of its kubeconfig's data."""
    words: list[str] = []
    for key in (lab.directory.private_key, lab.directory.node_key):
        if key.exists():
            words += [line for line in key.read_text(encoding="ascii").splitlines() if "---" not in line]
    if lab.directory.kubeconfig.exists():
        words += [word for word in lab.directory.kubeconfig.read_text(encoding="utf-8").split() if len(word) > 60]
    return words
