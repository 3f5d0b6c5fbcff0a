"""What the checks of the role containerd make of what a node answers."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.modules import load_module

FILE = Path(__file__).resolve().parents[3] / "roles" / "containerd" / "tests" / "test_containerd.py"
FILES = """\
DropInPaths=/etc/systemd/system/containerd.service.d/ca.conf
runtime-endpoint: unix:///run/containerd/containerd.sock
image-endpoint: unix:///run/containerd/containerd.sock
/usr/bin/kubeadm"""
VERSION_2 = """\
version = 4
disabled_plugins = []
imports = ['/etc/containerd/conf.d/*.toml']
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'registry.k8s.io/pause:3.10.2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = true
"""
VERSION_1 = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.k8s.io/pause:3.10.2"
[plugins."io.containerd.grpc.v1.cri".containerd.default_runtime.options]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = true
"""
LAB = {"containerd_sandbox_image": "registry.k8s.io/pause:3.10.2", "containerd_cgroup_driver": "systemd"}


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    """The role's test file as a module."""
    module: ModuleType = load_module(FILE)
    return module


def node(**facts: str) -> dict[str, str]:
    return {"files": FILES, "running": crictl(), "configuration": VERSION_2, **facts}


def crictl(network: bool = True, systemd: bool = True) -> str:
    conditions: list[dict[str, Any]] = [
        {"type": "RuntimeReady", "status": True},
        {"type": "NetworkReady", "status": network, "message": "cni plugin not initialized"},
    ]
    runtimes = {"runc": {"options": {"SystemdCgroup": systemd}}}
    return json.dumps({"config": {"containerd": {"runtimes": runtimes}}, "status": {"conditions": conditions}})


@pytest.mark.parametrize("configuration", [VERSION_1, VERSION_2], ids=["1.x", "2.x"])
def test_a_sound_configuration_passes(checks: ModuleType, configuration: str) -> None:
    checks.test_containerd_would_start_again_with_the_planned_values(node(configuration=configuration), LAB)


@pytest.mark.parametrize(
    ("old", "new", "evidence"),
    [
        ("SystemdCgroup = true", "SystemdCgroup = false", "SystemdCgroup is false in the end"),
        ("pause:3.10.2", "pause:3.1", "the pause image is registry.k8s.io/pause:3.1 instead of"),
        ("= []", "= ['io.containerd.grpc.v1.cri']", "disabled_plugins holds io.containerd.grpc.v1.cri"),
        (VERSION_2, "containerd: expected containerd config version equal to or less than `4`, got `9`", "got `9`"),
    ],
)  # fmt: skip
def test_a_configuration_that_differs_fails(checks: ModuleType, old: str, new: str, evidence: str) -> None:
    facts = node(configuration=VERSION_2.replace(old, new))
    with pytest.raises((AssertionError, pytest.fail.Exception)) as failed:
        checks.test_containerd_would_start_again_with_the_planned_values(facts, LAB)
    assert evidence in str(failed.value)


def test_what_config_toml_imports_is_named(checks: ModuleType) -> None:
    facts = node(files=f"{FILES}\nimports = ['/x/*.toml']", configuration=VERSION_2.replace("true", "false"))
    with pytest.raises(AssertionError, match=r"config.toml has imports = \['/x/\*.toml'\]"):
        checks.test_containerd_would_start_again_with_the_planned_values(facts, LAB)


def test_a_containerd_that_was_not_restarted_fails(checks: ModuleType) -> None:
    with pytest.raises(AssertionError, match="it runs with SystemdCgroup = false"):
        checks.test_containerd_runs_with_the_planned_cgroup_driver(node(running=crictl(systemd=False)), LAB)


def test_a_foreign_drop_in_is_named_and_the_roles_own_is_not(checks: ModuleType) -> None:
    checks.test_no_foreign_drop_in_changes_the_unit(node())
    with pytest.raises(AssertionError, match=r"changed by /run/x.conf$"):
        checks.test_no_foreign_drop_in_changes_the_unit(node(files=FILES.replace("/ca.conf", "/ca.conf /run/x.conf")))


def test_a_crictl_that_asks_another_socket_fails(checks: ModuleType) -> None:
    checks.test_crictl_reaches_the_runtime(node())
    other = node(files=FILES.replace("image-endpoint: unix:///run/containerd", "image-endpoint: unix:///run/other"))
    with pytest.raises(
        AssertionError, match=r"names .*, unix:///run/other/containerd.sock, not unix:///run/containerd"
    ):
        checks.test_crictl_reaches_the_runtime(other)


def test_a_crictl_without_an_answer_fails_with_its_last_line(checks: ModuleType) -> None:
    line = r'time="x" level=error msg="validate: code = Unavailable desc = error: desc = \"dial: no such file\""'
    with pytest.raises(AssertionError, match=r"crictl info: dial: no such file$"):
        checks.test_crictl_reaches_the_runtime(node(running=line))


def test_a_runtime_without_a_network_fails_where_the_lab_has_one(checks: ModuleType) -> None:
    facts = node(running=crictl(network=False))
    with pytest.raises(AssertionError, match="cni plugin not initialized"):
        checks.test_the_runtime_has_a_pod_network(facts, {"cluster_cni": "bridge_cni"})
    with pytest.raises(pytest.skip.Exception):
        checks.test_the_runtime_has_a_pod_network(facts, {"cluster_cni": "none"})
