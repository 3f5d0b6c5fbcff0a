"""Plan + nodes as their provider reports them -> the Ansible inventory. Pure: same input, same inventory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import inventory_users as users
from orchestrator import registry
from orchestrator.model import Capabilities, Cni, KubernetesPlan, NetworkPlan, Node, NodePlan, Plan, SourceAccess
from orchestrator.ssh_options import for_ansible


def build(
    plan: Plan,
    nodes: Sequence[Node],
    capabilities: Capabilities,
    access: SourceAccess | None,
    *,
    private_key: Path,
    known_hosts: Path,
    control_dir: Path,
    node_key: Path | None = None,
    root_password: Path | None = None,
) -> dict[str, Any]:
    """The inventory in the form that `--list` of a dynamic inventory prints, `_meta.hostvars` included.

    Variables that are the same on every node stand at the group `cluster`, so that no host repeats them.
    A node that the provider does not report is left out: a role cannot reach it anyway. `access` is None
    while nobody serves packages (status, verify); the roles that need a source are not run then. `node_key` is the
    private key that leads from one node to the others, `root_password` the file with the hash of root's password.
    """
    reported = {node.name: node for node in nodes}
    present = [node for node in plan.nodes if node.name in reported]
    return {
        "_meta": {
            "hostvars": {node.name: _host_variables(plan, node, reported[node.name], capabilities) for node in present}
        },
        "all": {"children": ["cluster"]},
        "cluster": {
            "children": ["control_plane", "workers"],
            "vars": {
                **_connection(private_key, known_hosts, control_dir),
                **_machine_variables(plan, capabilities),
                **(users.between_nodes(present, reported, node_key) if node_key else {}),
                **users.root_login(plan, private_key, root_password),
                **(_source_variables(access) if access else {}),
                **(_kubernetes_variables(plan, plan.kubernetes, capabilities) if plan.kubernetes else {}),
                **(_for_a_slow_processor(plan) if capabilities.emulated else {}),
            },
        },
        "control_plane": {"hosts": [node.name for node in present if node.role == "control_plane"]},
        "workers": {
            "hosts": [node.name for node in present if node.role == "worker"],
            "vars": _archive_variables(access.worker_archive_url, access.worker_archive_sha256) if access else {},
        },
    }


def as_file(inventory: Mapping[str, Any]) -> dict[str, Any]:
    """The same inventory in the form of an inventory file."""
    variables = inventory["_meta"]["hostvars"]
    groups: dict[str, dict[str, Any]] = {}
    for group in ("control_plane", "workers"):
        groups[group] = {"hosts": {name: variables[name] for name in inventory[group]["hosts"]}}
        if shared := inventory[group].get("vars"):
            groups[group]["vars"] = shared
    return {"all": {"children": {"cluster": {"children": groups, "vars": inventory["cluster"]["vars"]}}}}


def variables_of(inventory: Mapping[str, Any], node: str) -> dict[str, Any]:
    """All variables of one node as Ansible would merge them, `group_names` included."""
    groups = [name for name in ("control_plane", "workers") if node in inventory[name]["hosts"]]
    return {
        **inventory["cluster"]["vars"],
        **{name: value for group in groups for name, value in inventory[group].get("vars", {}).items()},
        **inventory["_meta"]["hostvars"][node],
        "inventory_hostname": node,
        "group_names": ["cluster", *groups],
    }


def _connection(private_key: Path, known_hosts: Path, control_dir: Path) -> dict[str, Any]:
    return {
        "ansible_ssh_private_key_file": str(private_key),
        "ansible_ssh_common_args": for_ansible(private_key, known_hosts),
        "ansible_control_path_dir": str(control_dir),
        "ansible_python_interpreter": "/usr/bin/python3",
    }


def _for_a_slow_processor(plan: Plan) -> dict[str, Any]:
    """Longer limits (seconds) and less idle work for emulated machines, where `sudo true` alone may take two seconds.

    An RSA handshake outlasts the period of some probes there, and leases at their usual pace keep it busy without end.
    """
    variables: dict[str, Any] = {"ansible_timeout": 180}
    if plan.kubernetes:
        variables |= {
            "kubeadm_init_timeout": 1200,
            "kubeadm_join_timeout": 1200,
            "kubeadm_init_silence_timeout": 600,
            "kubeadm_init_ecdsa_keys": True,
            "kubeadm_init_leader_election": False,
            "kubeadm_init_node_status_update_frequency": "10s",
        }
    return variables


def _host_variables(plan: Plan, node: NodePlan, reported: Node, capabilities: Capabilities) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "ansible_host": reported.ssh_host,
        "ansible_port": reported.ssh_port,
        "ansible_user": reported.ssh_user,
        "lab_address": node.address,
        "node_base_hostname": node.name,
    }
    kubernetes = plan.kubernetes
    if node.role == "control_plane":
        variables |= users.exercises(plan, reported.ssh_user)
    if kubernetes is None:
        return variables
    if node.role == "control_plane":
        variables |= {
            "kubeadm_init_node_name": node.name,
            "kubeadm_init_node_ip": node.address,
            # Every name under which the API server is reached: on the lab network, and through the forward on the host.
            "kubeadm_init_cert_sans": [node.name, node.address, "localhost", "127.0.0.1", plan.network.gateway],
            "kubeconfig_users": ["root", reported.ssh_user],
        }
    else:
        variables |= {"kubeadm_join_node_name": node.name, "kubeadm_join_node_ip": node.address}
    return variables


def _hosts(plan: Plan) -> list[dict[str, str]]:
    """Every name that the nodes resolve: their own, and the API server's."""
    names = [(node.name, node.address) for node in plan.nodes]
    if plan.kubernetes and plan.kubernetes.endpoint:
        names.append((plan.kubernetes.endpoint, plan.control_plane.address))
    return [{"name": name, "address": address} for name, address in names]


def _machine_variables(plan: Plan, capabilities: Capabilities) -> dict[str, Any]:
    def reason(field: str) -> str:
        return capabilities.reasons.get(field, "")

    variables: dict[str, Any] = {
        "lab_name": plan.name,
        "lab_subnet": plan.network.subnet,
        "node_base_hosts": _hosts(plan),
        "node_base_resolvers": list(plan.network.resolvers),
        "node_base_packages": list(plan.base_packages),
        "node_base_http_proxy": plan.http_proxy or "",
        "node_base_ca_file": _ca_file(plan),
        "node_base_no_proxy": _directly(plan),
        "swapoff_applicable": capabilities.own_swap,
        "swapoff_reason": reason("own_swap"),
        "selinux_permissive_applicable": capabilities.selinux,
        "selinux_permissive_reason": reason("selinux"),
        "br_netfilter_manage_modules": capabilities.own_modules,
        "br_netfilter_reason": reason("own_modules"),
    }
    # An empty list means "the role's own list for this OS family", not "no packages".
    if not plan.base_packages:
        del variables["node_base_packages"]
    return variables


def _directly(plan: Plan) -> list[str]:
    """What shells on the nodes reach without the proxy: the lab's network, and its pods and Services."""
    network = plan.network
    cluster = [network.pod_cidr, network.service_cidr, f".{network.dns_domain}"] if plan.kubernetes else []
    return [network.gateway, network.subnet, *cluster]


def _ca_file(plan: Plan) -> str:
    return str((Path(plan.owner) / plan.ca).resolve()) if plan.ca else ""


def _source_variables(access: SourceAccess) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "kubernetes_repo_apt_url": access.apt_url,
        "kubernetes_repo_rpm_url": access.rpm_url,
        "kubernetes_repo_key_file": access.key_file,
        **({"registry_program": access.registry_program} if access.registry_program else {}),
    }
    if access.calico_manifest:
        variables["calico_manifest"] = access.calico_manifest
        variables["calico_manifest_sha256"] = access.calico_manifest_sha256
    return variables | _archive_variables(access.image_archive_url, access.image_archive_sha256)


def _archive_variables(url: str, sha256: str) -> dict[str, Any]:
    """The archive of images that a node loads, for whichever runtime it has."""
    if not url:
        return {}
    values = {"image_archive_url": url, "image_archive_sha256": sha256}
    return {f"{runtime}_{name}": value for runtime in ("docker", "containerd") for name, value in values.items()}


def _kubernetes_variables(plan: Plan, kubernetes: KubernetesPlan, capabilities: Capabilities) -> dict[str, Any]:
    network = plan.network
    ignored = _ignored_preflight_errors(kubernetes, capabilities)
    config_api = kubernetes.config_api.removeprefix("kubeadm.k8s.io/")
    variables: dict[str, Any] = {
        "container_runtime": kubernetes.runtime,
        "cluster_cni": kubernetes.cni,
        f"{kubernetes.runtime}_cgroup_driver": kubernetes.cgroup_driver,
        f"{kubernetes.runtime}_oci_runtime": capabilities.oci_runtime,
        f"{kubernetes.runtime}_http_proxy": plan.http_proxy or "",
        f"{kubernetes.runtime}_ca_file": _ca_file(plan),
        f"{kubernetes.runtime}_no_proxy": [network.subnet, network.pod_cidr, network.service_cidr],
        **registry.variables(plan, kubernetes),
        "kubernetes_packages_version": kubernetes.version,
        "kubeadm_init_version": kubernetes.version,
        "kubeadm_init_config_api": config_api,
        "kubeadm_init_extra_args_as_list": kubernetes.extra_args_as_list,
        "kubeadm_init_pod_cidr": network.pod_cidr,
        "kubeadm_init_service_cidr": network.service_cidr,
        "kubeadm_init_dns_domain": network.dns_domain,
        "kubeadm_init_image_registry": kubernetes.image_registry,
        "kubeadm_init_cri_socket": kubernetes.cri_socket,
        "kubeadm_init_cgroup_driver": kubernetes.cgroup_driver,
        "kubeadm_init_endpoint_name": kubernetes.endpoint or "",
        "kubeadm_init_skip_phases": ["addon/coredns"] if kubernetes.dns == "dnsmasq" else [],
        "kubeadm_init_ignore_preflight_errors": ignored,
        "kubeadm_init_fail_swap_on": capabilities.own_swap,
        # Where nodes share the host's disk, a full host must not make every node throw out its pods.
        "kubeadm_init_disk_eviction": capabilities.own_kernel,
        "kubeadm_init_taints": [] if kubernetes.untaint_control_plane else list(kubernetes.taints),
        "kubeadm_init_untaint": kubernetes.untaint_control_plane,
        "kubeadm_init_kubelet_gates_off": list(kubernetes.kubelet_gates_off),
        "kubeadm_init_allow_cgroup_v1": kubernetes.allow_cgroup_v1,
        "kubernetes_packages_pod_resolvers": list(kubernetes.pod_resolvers),
        "kubeadm_init_pod_resolvers": bool(kubernetes.pod_resolvers),
        "kubeadm_join_config_api": config_api,
        "kubeadm_join_extra_args_as_list": kubernetes.extra_args_as_list,
        "kubeadm_join_endpoint": f"{kubernetes.endpoint or plan.control_plane.address}:6443",
        "kubeadm_join_cri_socket": kubernetes.cri_socket,
        "kubeadm_join_cgroup_driver": kubernetes.cgroup_driver,
        "kubeadm_join_ignore_preflight_errors": ignored,
    }
    if not capabilities.own_conntrack_limits:
        variables["kubeadm_init_conntrack_max_per_core"] = 0
    if kubernetes.grace_periods == "short":
        variables["kubeadm_init_node_grace_period"] = kubernetes.node_grace_period
        variables["kubeadm_init_eviction_period"] = kubernetes.eviction_period
    tags = {"kubeadm_init_etcd_tag": kubernetes.etcd_tag, "kubeadm_init_dns_tag": kubernetes.dns_tag}
    variables |= {name: tag for name, tag in tags.items() if tag}
    return variables | _addon_variables(kubernetes, network, capabilities)


def _addon_variables(kubernetes: KubernetesPlan, network: NetworkPlan, capabilities: Capabilities) -> dict[str, Any]:
    """What the roles for runtime, DNS and pod network are told."""
    variables: dict[str, Any] = {
        "cluster_dns_provider": kubernetes.dns,
        "cluster_dns_address": network.dns_address,
        "cluster_dns_domain": network.dns_domain,
        "cluster_dns_upstreams": list(network.resolvers),
    }
    if kubernetes.runtime == "containerd":
        variables["containerd_sandbox_image"] = kubernetes.pause_image
        variables["containerd_version"] = kubernetes.containerd
    if kubernetes.docker_ce and kubernetes.runtime == "docker":
        variables["docker_packages"] = ["docker-ce", "docker-ce-cli", "containerd.io", "apparmor", "iptables"]
    if kubernetes.cri_dockerd_version:
        variables["cri_dockerd_pause_image"] = kubernetes.pause_image
    if kubernetes.network_policy_image:
        variables["network_policy_image"] = kubernetes.network_policy_image
        variables["network_policy_service_cidr"] = network.service_cidr
    of_cni: dict[Cni, dict[str, Any]] = {
        "bridge_cni": {"bridge_cni_pod_cidr": network.pod_cidr},
        "calico": {"calico_version": kubernetes.cni_version, "calico_pod_cidr": network.pod_cidr},
        "none": {"cluster_dns_wait": False},
    }
    if not capabilities.own_modules:
        # The kernel brings VXLAN itself when asked for it; IPIP wants its module loaded before.
        of_cni["calico"]["calico_encapsulation"] = "vxlan"
    return variables | of_cni[kubernetes.cni]


def _ignored_preflight_errors(kubernetes: KubernetesPlan, capabilities: Capabilities) -> list[str]:
    """kubeadm's preflight checks that judge the kernel of the user's host, which is not the lab's to change."""
    ignored: list[str] = []
    if not capabilities.own_swap:
        ignored.append("Swap")
    if not capabilities.own_modules or kubernetes.allow_cgroup_v1:
        # Looks for /boot/config and for modules of a kernel whose files no container carries; from 1.35 on it refuses
        # control groups of version 1 as well, whatever the kubelet is told.
        ignored.append("SystemVerification")
    return ignored
