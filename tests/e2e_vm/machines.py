"""What the proofs of virtual machines do to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from orchestrator.providers.vagrant import libvirt_daemon
from tests import host_state
from tests.e2e.conftest import User, poll
from tests.molecule.scenario import run_scenario

REBOOT_SECONDS = 600
BOOT_ID = ("cat", "/proc/sys/kernel/random/boot_id")
# What of the host a lab of virtual machines touches. Other parts belong to other proofs, which may run beside this one.
HOST = ("iptables", "ip6tables", "nft", "runtime", "forwarding", "cgroups")


def on(lab: User, node: str, *command: str) -> str:
    """What a command on a node prints; empty when the node does not answer."""
    return lab.run("ssh", node, "--", *command, timeout=120).stdout.strip()


def reboot(lab: User, nodes: Sequence[str]) -> None:
    """Boot nodes anew, all at once; return when each answers."""
    before = {node: on(lab, node, *BOOT_ID) for node in nodes}
    for node in nodes:
        lab.run("ssh", node, "--", "sudo", "systemctl", "reboot", timeout=60)
    for node in nodes:
        poll(
            f"{node} is back",
            lambda node=node: (now := on(lab, node, *BOOT_ID)) and now != before[node],
            REBOOT_SECONDS,
        )


def assert_prepared(lab: User, node: str) -> None:
    """A node has no swap, and what bridged traffic needs."""
    assert on(lab, node, "cat", "/proc/swaps").count("\n") == 0
    assert "br_netfilter" in on(lab, node, "cat", "/proc/modules")
    assert on(lab, node, "cat", "/proc/sys/net/bridge/bridge-nf-call-iptables") == "1"


def molecule(lab: User, name: str, scenario: str) -> None:
    """Run a scenario of molecule/ on the last node of the lab of this name."""
    run_scenario(scenario, {**lab.environment, "LABCTL_LAB_DIR": str(lab.home / ".labctl" / name)})


def destroy(lab: User, name: str, host_before: dict[str, list[str]]) -> None:
    """Remove a lab and look for what it could have left on the host."""
    uuid = json.loads((lab.home / ".labctl" / name / "plan.json").read_text(encoding="utf-8"))["uuid"]
    ours = libvirt_daemon.started_here()
    done = lab.run("destroy", "--yes", timeout=300)
    assert done.returncode == 0, done.stderr
    assert not (lab.home / ".labctl").exists()
    places = [Path("/etc/libvirt/qemu"), Path("/etc/libvirt/qemu/networks"), Path("/var/lib/libvirt/images")]
    left = [path for place in places if place.is_dir() for path in place.rglob("*") if uuid[:8] in path.name]
    assert left == []
    assert not libvirt_daemon.started_here()
    if ours:
        now = host_state.snapshot()
        assert host_state.differences({part: host_before[part] for part in HOST}, now) == []
