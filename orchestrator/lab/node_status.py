"""The state of every node for `labctl status`: days left on certificates, changes since the last verify."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from orchestrator import proc
from orchestrator.checks.model import Report
from orchestrator.lab.observed_lab import ObservedLab
from orchestrator.model import Node
from orchestrator.paths import LabDir, write_private
from orchestrator.providers import ssh_access

SECONDS = 10
DAY = 86400.0

# What labctl and kubeadm write on a node; the time of the inode's last change cannot be set back.
_PATHS = (
    "/etc/kubernetes /etc/docker /etc/containerd /etc/cni/net.d /etc/hosts /etc/resolv.conf /etc/hostname "
    "/etc/sysctl.d /etc/modules-load.d /etc/fstab /etc/systemd/system /etc/apt/sources.list.d /etc/yum.repos.d "
    "/etc/profile.d /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env /usr/bin/kubelet /usr/bin/kubeadm "
    "/usr/bin/kubectl /var/lib/dpkg/status"
)
_SCRIPT = """
since=$1
[ "$since" = 0 ] || find PATHS -newerct "@$since" 2>/dev/null | sed 's/^/changed /'
for unit in kubelet docker containerd ssh sshd; do
    at=$(systemctl show -p StateChangeTimestamp --value "$unit" 2>/dev/null)
    [ -n "$at" ] || continue
    echo "unit $unit $(systemctl is-active "$unit") $(date -d "$at" +%s)"
done
for key in net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables; do
    file=/proc/sys/$(echo "$key" | sed 's,\\.,/,g')
    [ ! -r "$file" ] || echo "sysctl $key $(cat "$file")"
done
for file in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt /var/lib/kubelet/pki/kubelet-client-current.pem; do
    [ -r "$file" ] || continue
    end=$(openssl x509 -enddate -noout -in "$file" 2>/dev/null) || continue
    echo "cert $file $(date -d "${end#notAfter=}" +%s)"
done
""".replace("PATHS", _PATHS)


@dataclass(frozen=True)
class LastVerify:
    """The last verify of the whole lab: when it ended (seconds since the epoch), its verdict, what failed."""

    at: float
    ok: bool
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeStatus:
    """What one node reports: certificates by the time they end, what changed, and why it does not answer."""

    node: str
    certificates: dict[str, float] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    trouble: str = ""


def save_last_verify(directory: LabDir, report: Report) -> None:
    """Keep the verdict of a verify of the whole lab."""
    failed = [f"{result.id} on {result.node or 'the cluster'}" for result in report.results if result.bad]
    kept = {"at": report.at + report.seconds, "ok": report.ok, "failed": failed}
    write_private(directory.reports / "last.json", json.dumps(kept) + "\n")


def last_verify(directory: LabDir) -> LastVerify | None:
    """The last verify of the whole lab; None before the first."""
    try:
        kept = json.loads((directory.reports / "last.json").read_text(encoding="utf-8"))
        return LastVerify(float(kept["at"]), bool(kept["ok"]), tuple(map(str, kept["failed"])))
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def node_statuses(observed: ObservedLab, since: float) -> list[NodeStatus]:
    """The status of all running nodes, asked at once; a node that does not answer within seconds says so."""
    if not observed.running:
        return []
    with ThreadPoolExecutor(len(observed.running)) as pool:
        return list(pool.map(lambda node: _node_status(observed, node, since), observed.running))


def _node_status(observed: ObservedLab, node: Node, since: float) -> NodeStatus:
    plan, directory = observed.lab.plan, observed.lab.directory
    argv = ssh_access.ssh_argv(directory, node, command=("sudo", "sh", "-s", "--", str(int(since))))
    try:
        answer = proc.run(argv, timeout=SECONDS, stdin=_SCRIPT)
    except proc.ProcessFailed as problem:
        return NodeStatus(node.name, trouble=f"{node.name} does not answer: {problem.result.tail or 'no answer'}")
    return parse_status(node.name, answer.stdout.splitlines(), since, kubernetes=plan.kubernetes is not None)


def parse_status(node: str, lines: Iterable[str], since: float, *, kubernetes: bool) -> NodeStatus:
    """The status that the script's lines stand for; `since` 0 means that the lab was never verified."""
    certificates: dict[str, float] = {}
    changes: list[str] = []
    for line in lines:
        kind, _, rest = line.partition(" ")
        words = rest.split()
        if kind == "changed":
            changes.append(f"{rest} changed")
        elif kind == "unit" and len(words) == 3 and since:
            if words[1] != "active":
                changes.append(f"{words[0]} is {words[1]}")
            elif float(words[2]) > since:
                changes.append(f"{words[0]} was restarted")
        elif kind == "sysctl" and len(words) == 2 and since and kubernetes and words[1] != "1":
            changes.append(f"{words[0]} is {words[1]}")
        elif kind == "cert" and len(words) == 2:
            certificates[words[0]] = float(words[1])
    return NodeStatus(node, certificates, tuple(changes))


def first_expiry(statuses: Iterable[NodeStatus], now: float | None = None) -> tuple[float, str] | None:
    """Days until the first certificate of the lab ends, and which that is; None when there is none."""
    ends = [(end, f"{status.node}: {path}") for status in statuses for path, end in status.certificates.items()]
    if not ends:
        return None
    first, where = min(ends)
    return (first - (now or time.time())) / DAY, where
