"""Checks of every machine, whatever runs on it: name, clock, disk, memory, services, and the way to its neighbours."""

from __future__ import annotations

import time
from typing import Any

import pytest

_FACTS = r"""
echo "hostname $(uname -n)"
echo "now $(date +%s.%N)"
df -P -k / /var/lib /tmp 2>/dev/null | awk 'NR>1 {print "disk", $6, $4, $2}'
df -P -i / /var/lib 2>/dev/null | awk 'NR>1 && $2 > 0 {print "inodes", $6, $4, $2}'
awk '/^Mem(Total|Available):/ {print $1, $2}' /proc/meminfo
echo "state $(systemctl is-system-running 2>/dev/null)"
echo "python $(python3 -c 'print(1)' 2>&1 | tail -n 1)"
systemctl list-units --state=failed --plain --no-legend --no-pager 2>/dev/null | awk '{print "unit", $1}'
"""


@pytest.fixture(scope="module")
def facts(host: Any) -> list[list[str]]:
    """Facts of the node as rows of words, with the host's clock before and after."""
    before = time.time()
    output = host.run(_FACTS).stdout
    return [line.split() for line in output.splitlines()] + [["host_clock", str(before), str(time.time())]]


def _rows(facts: list[list[str]], subject: str) -> list[list[str]]:
    return [line[1:] for line in facts if line[0] == subject]


def test_hostname(facts: list[list[str]], lab_vars: dict[str, Any], lab_node: str) -> None:
    name = _rows(facts, "hostname")[0][0]
    planned = lab_vars.get("node_base_hostname", lab_node)
    assert name == planned, f"the machine calls itself {name}; the plan says {planned}"


def test_clock(facts: list[list[str]]) -> None:
    now = float(_rows(facts, "now")[0][0])
    before, after = (float(value) for value in _rows(facts, "host_clock")[0])
    skew = max(before - now, now - after, 0.0)
    ahead = "behind" if now < before else "ahead of"
    assert skew <= 5, f"its clock is {skew:.0f} s {ahead} the host's: certificates and leases will be evaluated wrongly"


def test_disk(facts: list[list[str]]) -> None:
    full = []
    for mount, free, size in _rows(facts, "disk"):
        if int(size) and (int(free) < 512 * 1024 or int(free) / int(size) < 0.05) and mount != "/tmp":
            full.append(f"{mount} has {int(free) // 1024} MB of {int(size) // 1024} MB left")
    assert not full, f"{'; '.join(full)}: the kubelet evicts pods when the disk is nearly full"


def test_inodes(facts: list[list[str]]) -> None:
    full = [
        f"{mount} has {free} of {size} inodes left"
        for mount, free, size in _rows(facts, "inodes")
        if int(free) / int(size) < 0.03
    ]
    assert not full, "; ".join(full)


def test_memory(facts: list[list[str]]) -> None:
    left = int(_rows(facts, "MemAvailable:")[0][0]) // 1024
    assert left >= 100, f"only {left} MB of memory are available: pods will be killed"


def test_python(facts: list[list[str]]) -> None:
    output = " ".join(_rows(facts, "python")[0])
    assert output == "1", f"python3 does not work: {output or 'no output'}; nothing can be provisioned on this machine"


def test_services(facts: list[list[str]]) -> None:
    failed = [unit for (unit,) in _rows(facts, "unit")]
    assert not failed, f"failed units: {', '.join(failed)}"


def test_mesh_ping(host: Any, lab_vars: dict[str, Any], lab_node: str) -> None:
    names = [(str(one["name"]), str(one["address"])) for one in lab_vars.get("node_base_hosts", [])]
    own = {address for name, address in names if name == lab_node}
    # Of several names of an address the node's own is the first.
    others = {address: name for name, address in reversed(names) if address not in own}
    if not others:
        pytest.skip("not applicable: the lab has one node")
    pings = " ".join(
        f"(ping -n -q -c 3 -i 0.1 -W 2 {address} >/dev/null 2>&1 || echo {address}) &" for address in others
    )
    silent = host.run(f"command -v ping >/dev/null || {{ echo none; exit; }}; {pings} wait").stdout.split()
    assert silent != ["none"], "there is no ping on the node"
    assert not silent, f"no answer to three pings from {', '.join(f'{others[one]} ({one})' for one in sorted(silent))}"
