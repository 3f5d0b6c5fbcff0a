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


@pytest.mark.check(id="host.network", layer="host", remedy="labctl start")
def test_network(lab_host: HostTarget) -> None:
    """The host has its address on the lab's network."""
    if not lab_host.gateway:
        pytest.skip("not applicable: the machines are somebody else's, and so is their network")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((lab_host.gateway, 0))
        except OSError:
            pytest.fail(f"no interface of this host has {lab_host.gateway}: the nodes cannot reach the host")


@pytest.mark.check(id="host.api_port", layer="host", remedy="labctl start")
def test_api_port(lab_host: HostTarget) -> None:
    """The port through which the host reaches the API server is open."""
    if not lab_host.server:
        pytest.skip(_NO_CLUSTER)
    where = urlsplit(lab_host.server)
    try:
        socket.create_connection((where.hostname, where.port), timeout=3).close()
    except OSError as problem:
        pytest.fail(f"{where.netloc} takes no connection: {problem.strerror or problem}")


@pytest.fixture
def kubeconfig(lab_host: HostTarget) -> Path:
    """The lab's kubeconfig on the host."""
    if not lab_host.server:
        pytest.skip(_NO_CLUSTER)
    return Path(lab_host.kubeconfig)


@pytest.mark.check(id="host.kubeconfig", layer="host", remedy="labctl provision")
def test_kubeconfig(kubeconfig: Path, lab_host: HostTarget) -> None:
    """The host's kubeconfig leads to this lab."""
    assert kubeconfig.is_file(), f"{kubeconfig} is missing: kubectl on the host does not know the lab"
    servers = re.findall(r"^\s*server:\s*(\S+)", kubeconfig.read_text(encoding="utf-8"), re.MULTILINE)
    found = {server.strip("\"'") for server in servers}
    wanted = lab_host.server
    assert found == {wanted}, f"{kubeconfig} leads to {', '.join(found) or 'nothing'} instead of {wanted}"


@pytest.mark.check(
    id="host.kubeconfig_private", layer="host", remedy="chmod 600 $(labctl kubeconfig)", after="host.kubeconfig"
)
def test_kubeconfig_private(kubeconfig: Path) -> None:
    """The host's kubeconfig is its owner's alone."""
    mode = stat.S_IMODE(kubeconfig.stat().st_mode)
    assert not mode & 0o077, f"{kubeconfig} has mode {mode:o}: whoever reads it rules the cluster"


@pytest.mark.check(id="host.clock", layer="host", severity="warning", remedy="sudo timedatectl set-ntp true")
def test_clock(lab_host: HostTarget) -> None:
    """The host's clock is not behind the lab's own files."""
    behind = lab_host.newest - time.time()
    assert behind < _CORRECTION, (
        f"it is {behind:.0f} s behind a file that labctl wrote: nodes are measured by this clock"
    )
