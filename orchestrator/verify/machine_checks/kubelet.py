"""Checks of the kubelet as a service of its node, on every node of a lab with Kubernetes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.verify.corefile import loops

# `file` lines name what changes the kubelet besides kubeadm's own files, `given` lines are kubeadm's arguments.
# What is in service.d is for every service of the system.
_FACTS = r"""
echo "active $(systemctl is-active kubelet.service 2>/dev/null)"
echo "health $(curl -sS -m 5 http://127.0.0.1:10248/healthz 2>&1 | tail -n 1)"
for fact in $(systemctl show -p MainPID -p DropInPaths kubelet.service | tr ' ' '\n'); do
    case $fact in
    MainPID=*) arguments=$(tr '\0' '\n' </proc/${fact#*=}/cmdline 2>/dev/null) ;;
    */10-kubeadm.conf | */service.d/* | DropInPaths=) ;;
    *) echo "file ${fact#DropInPaths=}" ;;
    esac
done
echo "$arguments" | sed -n 's/^--node-ip=/address /p; s/^-/argument -/p'
(. /var/lib/kubelet/kubeadm-flags.env && printf 'given %s\n' $KUBELET_KUBEADM_ARGS) 2>/dev/null
directory=$(echo "$arguments" | sed -n 's/^--config-dir=//p')
[ -z "$directory" ] || find "$directory" -name '*.conf' -printf 'file %p\n' 2>/dev/null
grep -ls '^KUBELET_EXTRA_ARGS=.*[^="]' /etc/default/kubelet /etc/sysconfig/kubelet | sed 's/^/file /'
resolvers=$(sed -n 's/^resolvConf: *//p' /var/lib/kubelet/config.yaml 2>/dev/null)
echo "resolvers ${resolvers:=/etc/resolv.conf}"
sed -n 's/^nameserver  */server /p' $resolvers 2>/dev/null
"""
# What kubeadm's unit gives every kubelet.
_OWN_ARGUMENTS = ("--bootstrap-kubeconfig=", "--kubeconfig=", "--config=")


def facts_of(output: str) -> dict[str, list[str]]:
    """What the lines of the script say of each subject."""
    facts = defaultdict(list)
    for subject, _, text in (line.partition(" ") for line in output.splitlines()):
        facts[subject].append(text.strip())
    return facts


def overrides(facts: Mapping[str, list[str]]) -> list[str]:
    """Files and arguments that configure a kubelet besides kubeadm's."""
    extra = [one for one in facts["argument"] if not one.startswith(_OWN_ARGUMENTS) and one not in facts["given"]]
    return [*facts["file"], *extra]


@pytest.fixture(scope="module")
def facts(host: Any, lab_vars: dict[str, Any]) -> dict[str, list[str]]:
    """Facts of the node's kubelet by subject."""
    if "kubernetes_packages_version" not in lab_vars:
        pytest.skip("not applicable: this lab has no Kubernetes")
    return facts_of(host.run(_FACTS).stdout)


def test_running(facts: dict[str, list[str]]) -> None:
    (active,) = facts["active"]
    assert active == "active", f"kubelet.service is {active or 'unknown'}: no pod is started here"


def test_health(facts: dict[str, list[str]]) -> None:
    (health,) = facts["health"]
    assert health == "ok", f"its health endpoint reports: {health or 'nothing'}"


def test_node_ip(facts: dict[str, list[str]], lab_vars: dict[str, Any]) -> None:
    planned = lab_vars["lab_address"]
    address = "".join(facts["address"][-1:])
    assert address == planned, f"it runs with {address or 'no --node-ip'} instead of {planned}"


def test_overrides(facts: dict[str, list[str]]) -> None:
    found = overrides(facts)
    assert not found, f"besides kubeadm's files it is configured by {', '.join(found)}"


def test_pod_resolvers(facts: dict[str, list[str]], lab_vars: dict[str, Any]) -> None:
    if lab_vars.get("cluster_dns_provider") != "coredns":
        pytest.skip("not applicable: the lab's DNS server does not ask the node's")
    (file,) = facts["resolvers"]
    looping = loops(facts["server"], lab_vars["cluster_dns_address"])
    assert facts["server"], f"{file}, which pods inherit, names no DNS server"
    assert not looping, f"{file}, which pods inherit, names {', '.join(looping)}: CoreDNS would ask itself"
