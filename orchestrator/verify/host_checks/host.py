"""Checks of the host's side of a lab: its address on the lab's network, the way to the API server, its clock."""

from __future__ import annotations

import re
import socket
import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.verify.job import HostTarget

_NO_CLUSTER = "not applicable: this lab has no Kubernetes"
# A clock that runs is never behind what it wrote itself; seconds that a correction may take it back.
_CORRECTION = 60


def test_network(lab_host: HostTarget) -> None:
    if not lab_host.gateway:
        pytest.skip("not applicable: the machines are in a network of their owner")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((lab_host.gateway, 0))
        except OSError:
            pytest.fail(f"no interface of this host has {lab_host.gateway}: the nodes cannot reach the host")


def test_api_port(lab_host: HostTarget) -> None:
    if not lab_host.server:
        pytest.skip(_NO_CLUSTER)
    server = urlsplit(lab_host.server)
    try:
        socket.create_connection((server.hostname, server.port), timeout=3).close()
    except OSError as problem:
        pytest.fail(f"{server.netloc} takes no connection: {problem.strerror or problem}")


@pytest.fixture
def kubeconfig(lab_host: HostTarget) -> Path:
    """The lab's kubeconfig on the host."""
    if not lab_host.server:
        pytest.skip(_NO_CLUSTER)
    return Path(lab_host.kubeconfig)


def test_kubeconfig(kubeconfig: Path, lab_host: HostTarget) -> None:
    assert kubeconfig.is_file(), f"{kubeconfig} is missing: kubectl on the host does not know the lab"
    servers = re.findall(r"^\s*server:\s*(\S+)", kubeconfig.read_text(encoding="utf-8"), re.MULTILINE)
    found = {server.strip("\"'") for server in servers}
    expected = lab_host.server
    assert found == {expected}, f"{kubeconfig} leads to {', '.join(found) or 'nothing'} instead of {expected}"


def test_kubeconfig_private(kubeconfig: Path) -> None:
    mode = stat.S_IMODE(kubeconfig.stat().st_mode)
    assert not mode & 0o077, f"{kubeconfig} has mode {mode:o}: who reads it controls the cluster"


def test_clock(lab_host: HostTarget) -> None:
    behind = lab_host.newest - time.time()
    assert behind < _CORRECTION, (
        f"it is {behind:.0f} s behind a file that labctl wrote: nodes are measured by this clock"
    )
