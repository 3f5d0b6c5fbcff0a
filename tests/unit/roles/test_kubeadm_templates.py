"""kubeadm's configuration files for each version of its API, compared with files that a person has read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden/kubeadm"
Golden = Callable[[str, Path], None]

VERSIONS = {"v1beta2": "1.20.2", "v1beta3": "1.29.15", "v1beta4": "1.36.4"}
TAINTS = {
    "v1beta2": ["node-role.kubernetes.io/master"],
    "v1beta3": ["node-role.kubernetes.io/control-plane"],
    "v1beta4": ["node-role.kubernetes.io/control-plane:NoSchedule"],
}
SOCKETS = {
    "v1beta2": "/var/run/dockershim.sock",
    "v1beta3": "unix:///run/containerd/containerd.sock",
    "v1beta4": "unix:///run/containerd/containerd.sock",
}


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def render(role: str, template: str, variables: dict[str, Any]) -> str:
    """Render as Ansible's template lookup does: blocks trimmed, the last newline kept, undefined names refused."""
    environment = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False)
    environment.filters |= {"to_json": json.dumps, "bool": bool, "unique": _unique}
    return environment.from_string((ROOT / "roles" / role / "templates" / template).read_text()).render(variables)


def init_variables(api: str, **changes: Any) -> dict[str, Any]:
    return {
        "kubeadm_init_config_api": api,
        "kubeadm_init_extra_args_as_list": api == "v1beta4",
        "kubeadm_init_version": VERSIONS[api],
        "kubeadm_init_node_name": "m-k8s",
        "kubeadm_init_node_ip": "192.168.56.10",
        "kubeadm_init_pod_cidr": "172.16.0.0/16",
        "kubeadm_init_service_cidr": "10.96.0.0/12",
        "kubeadm_init_dns_domain": "cluster.local",
        "kubeadm_init_image_registry": "registry.k8s.io",
        "kubeadm_init_cri_socket": SOCKETS[api],
        "kubeadm_init_cgroup_driver": "systemd",
        "kubeadm_init_cert_sans": ["m-k8s", "192.168.56.10", "localhost", "127.0.0.1", "192.168.56.1"],
        "kubeadm_init_timeout": 300,
        "kubeadm_init_fail_swap_on": True,
        "kubeadm_init_disk_eviction": True,
        "kubeadm_init_conntrack_max_per_core": None,
        "kubeadm_init_etcd_tag": "",
        "kubeadm_init_dns_tag": "",
        "kubeadm_init_allow_cgroup_v1": False,
        "kubeadm_init_kubelet_gates_off": [],
        "kubeadm_init_pod_resolvers": False,
        "kubeadm_init_node_status_update_frequency": "4s",
        "kubeadm_init_node_grace_period": None,
        "kubeadm_init_eviction_period": None,
        "kubeadm_init_sync_frequency": "10s" if api == "v1beta2" else "1m0s",
        "kubeadm_init_taints": TAINTS[api],
        "kubeadm_init_untaint": False,
        "kubeadm_init_endpoint_name": "api.k8s-lab.internal",
        "kubeadm_init_skip_phases": [],
        "kubeadm_init_ecdsa_keys": False,
        "kubeadm_init_leader_election": True,
        **changes,
    }


def join_variables(api: str) -> dict[str, Any]:
    return {
        "kubeadm_join_config_api": api,
        "kubeadm_join_extra_args_as_list": api == "v1beta4",
        "kubeadm_join_endpoint": "api.k8s-lab.internal:6443",
        "kubeadm_join_token": "abcdef.0123456789abcdef",
        "__kubeadm_join_discovery": "/run/labctl-discovery.conf",
        "kubeadm_join_node_name": "w1-k8s",
        "kubeadm_join_node_ip": "192.168.56.101",
        "kubeadm_join_cri_socket": SOCKETS[api],
    }


@pytest.mark.parametrize("api", VERSIONS)
def test_init_configuration_is_the_golden_one(api: str, golden: Golden) -> None:
    golden(render("kubeadm_init", "kubeadm-init.yml.j2", init_variables(api)), GOLDEN / f"init-{api}.yml")


@pytest.mark.parametrize("api", VERSIONS)
def test_join_configuration_is_the_golden_one(api: str, golden: Golden) -> None:
    golden(render("kubeadm_join", "kubeadm-join.yml.j2", join_variables(api)), GOLDEN / f"join-{api}.yml")


def test_a_node_that_shares_the_hosts_kernel_gets_its_own_golden_configuration(golden: Golden) -> None:
    shared = init_variables(
        "v1beta2",
        kubeadm_init_fail_swap_on=False,
        kubeadm_init_disk_eviction=False,
        kubeadm_init_conntrack_max_per_core=0,
        kubeadm_init_untaint=True,
        kubeadm_init_skip_phases=["addon/coredns"],
    )
    golden(render("kubeadm_init", "kubeadm-init.yml.j2", shared), GOLDEN / "init-v1beta2-shared-kernel.yml")


@pytest.mark.parametrize("api", VERSIONS)
def test_a_slow_processor_gets_its_own_golden_configuration(api: str, golden: Golden) -> None:
    slow = init_variables(api, kubeadm_init_ecdsa_keys=True, kubeadm_init_leader_election=False)
    golden(render("kubeadm_init", "kubeadm-init.yml.j2", slow), GOLDEN / f"init-{api}-slow-processor.yml")


@pytest.mark.parametrize("api", VERSIONS)
def test_short_grace_periods_get_their_own_golden_configuration(api: str, golden: Golden) -> None:
    short = init_variables(api, kubeadm_init_node_grace_period=16, kubeadm_init_eviction_period=30)
    golden(render("kubeadm_init", "kubeadm-init.yml.j2", short), GOLDEN / f"init-{api}-short-grace.yml")


def test_short_grace_periods_and_a_slow_processor_share_the_controller_managers_arguments() -> None:
    both = init_variables("v1beta4", kubeadm_init_node_grace_period=16, kubeadm_init_leader_election=False)
    documents = yaml.safe_load_all(render("kubeadm_init", "kubeadm-init.yml.j2", both))
    cluster = next(one for one in documents if one["kind"] == "ClusterConfiguration")
    names = [argument["name"] for argument in cluster["controllerManager"]["extraArgs"]]
    assert names == ["leader-elect", "node-monitor-grace-period", "node-monitor-period"]


def test_what_the_runtime_does_not_stand_is_off_in_the_kubelets() -> None:
    variables = init_variables("v1beta4", kubeadm_init_kubelet_gates_off=["ExtendWebSocketsToKubelet"])
    documents = yaml.safe_load_all(render("kubeadm_init", "kubeadm-init.yml.j2", variables))
    kubelet = next(one for one in documents if one["kind"] == "KubeletConfiguration")
    assert kubelet["featureGates"] == {"ExtendWebSocketsToKubelet": False}


@pytest.mark.parametrize("api", VERSIONS)
def test_extra_arguments_have_the_form_of_their_api(api: str) -> None:
    text = render("kubeadm_init", "kubeadm-init.yml.j2", init_variables(api))
    registration = next(yaml.safe_load_all(text))["nodeRegistration"]
    if api == "v1beta4":
        assert registration["kubeletExtraArgs"] == [{"name": "node-ip", "value": "192.168.56.10"}]
    else:
        assert registration["kubeletExtraArgs"] == {"node-ip": "192.168.56.10"}


@pytest.mark.parametrize("api", VERSIONS)
def test_no_token_is_fixed_and_none_lives_on(api: str) -> None:
    configuration = next(yaml.safe_load_all(render("kubeadm_init", "kubeadm-init.yml.j2", init_variables(api))))
    (token,) = configuration["bootstrapTokens"]
    assert "token" not in token
    assert token["ttl"] == "1s"


def test_a_control_plane_without_taint_says_so_explicitly() -> None:
    text = render("kubeadm_init", "kubeadm-init.yml.j2", init_variables("v1beta3", kubeadm_init_untaint=True))
    assert next(yaml.safe_load_all(text))["nodeRegistration"]["taints"] == []
