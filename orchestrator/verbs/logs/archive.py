"""`labctl logs`: a support archive of the lab, its secrets replaced before it is written."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from orchestrator import host, proc
from orchestrator.errors import HostError, LabError
from orchestrator.events import Emit, Step, phase
from orchestrator.lab.kubectl import run_kubectl
from orchestrator.lab.node_access import reported_nodes
from orchestrator.lab.result import Result
from orchestrator.lab.state import Lab
from orchestrator.model import Node
from orchestrator.paths import replacing
from orchestrator.providers.ssh_access import ssh_argv
from orchestrator.verbs.logs.redact import Redactor

# File of the archive -> the commands that print it on a node, as root. All read only.
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


@dataclass(frozen=True)
class SupportArchive(Result):
    """A support archive that was written, and the names of the files in it."""

    archive: Path
    files: tuple[str, ...]
    schema = "labctl/logs/v1"


def pack_logs(lab: Lab, to: Path | None, emit: Emit) -> SupportArchive:
    """Write the archive (tar.gz, mode 0600), in the current directory unless `to` names the file.

    Raises HostError when it cannot be written. Keys and kubeconfigs are not packed; what looks like a secret in the
    rest is replaced. What cannot be collected leaves its error message in the archive.
    """
    target = to or Path(f"{lab.plan.name}-logs-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    top = target.name.removesuffix(".tar.gz")
    redact = Redactor(_known_secrets(lab))
    names: list[str] = []
    try:
        with (
            replacing(target) as stream,
            tarfile.open(fileobj=stream, mode="w:gz") as archive,
            phase(emit, "logs", f"Collect the logs of {lab.plan.name}"),
        ):
            for name, text in _collect(lab, emit):
                data = redact(text).encode()
                entry = tarfile.TarInfo(f"{top}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
                names.append(name)
    except OSError as problem:
        raise HostError(f"{target} cannot be written: {problem.strerror}", fix="labctl logs --to FILE") from None
    return SupportArchive(target, tuple(names))


def _collect(lab: Lab, emit: Emit) -> Iterator[tuple[str, str]]:
    """The name and text of every file of the archive."""
    host_facts = asdict(host.facts(lab.directory.root))
    about = {"labctl": metadata.version("kubeadm-lab"), "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **host_facts}
    yield "host.json", json.dumps(about, indent=2, default=str)
    yield from _state_files(lab)
    nodes = reported_nodes(lab)
    yield "machines.txt", "".join(f"{node.name} {node.state} {node.detail}\n" for node in nodes)
    running = [node for node in nodes if node.state == "running"]
    with ThreadPoolExecutor(16) as pool:
        for node, files in zip(running, pool.map(lambda node: _node_files(lab, node), running), strict=True):
            emit(Step(phase="logs", node=node.name, name="collect its logs", status="ok"))
            yield from ((f"{node.name}/{name}", text) for name, text in files.items())
    if lab.plan.kubernetes is not None:
        emit(Step(phase="logs", name="collect the cluster's objects"))
        for name, arguments in IN_CLUSTER.items():
            yield f"cluster/{name}", _cluster_output(lab, arguments)


def _state_files(lab: Lab) -> Iterator[tuple[str, str]]:
    """lab.yml, plan, journal, reports and Ansible's output; never ssh/, the kubeconfig or a run's variables."""
    root = lab.directory.root
    lab_file = Path(lab.plan.owner) / "lab.yml"
    files = [lab.directory.plan, lab.directory.journal, lab.directory.log, *sorted(lab.directory.reports.glob("*"))]
    files += sorted(root.glob("runs/*/artifacts/*/stdout"))
    for path in [lab_file, *files]:
        if path.is_file():
            name = path.name if path == lab_file else f"state/{path.relative_to(root)}"
            yield name, path.read_text(encoding="utf-8", errors="replace")[-LARGEST:]


def _node_files(lab: Lab, node: Node) -> Mapping[str, str]:
    run = partial(proc.run, ssh_argv(lab.directory, node, command=("sudo", "sh", "-s")), check=False, timeout=SECONDS)
    return {name: _output(partial(run, stdin=command)) for name, command in ON_NODE.items()}


def _cluster_output(lab: Lab, arguments: Sequence[str]) -> str:
    run = partial(run_kubectl, lab, *arguments, "--request-timeout=10s", check=False, timeout=SECONDS)
    try:
        return _output(run)
    except LabError as problem:
        return f"{problem.message}\n"


def _output(run: Callable[[], proc.Result]) -> str:
    """What a command printed, or why it has no end."""
    try:
        done = run()
    except proc.ProcessFailed as problem:
        return f"{problem}\n"
    return (done.stdout + done.stderr)[-LARGEST:]


def _known_secrets(lab: Lab) -> list[str]:
    """The secrets that labctl keeps for this lab: the lines of its keys, and the long words of its kubeconfig."""
    words: list[str] = []
    for key in (lab.directory.private_key, lab.directory.node_key, lab.directory.root_password):
        if key.exists():
            words += [line for line in key.read_text(encoding="ascii").splitlines() if "---" not in line]
    if lab.directory.kubeconfig.exists():
        words += [word for word in lab.directory.kubeconfig.read_text(encoding="utf-8").split() if len(word) > 60]
    return words
