"""plan() is pure: the same spec, catalog and observation give the same decisions, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalog
from orchestrator.addresses import Addresses
from orchestrator.model import Plan
from orchestrator.observed import BuildableBundle, BusyPort, Observed, ProviderState, SourceContent, TakenNetwork
from orchestrator.plan import plan
from orchestrator.spec import Override, parse
from tests.sources import published

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
Observe = Callable[..., Observed]


def planned(text: str, observed: Observed, *overrides: Override) -> Plan:
    return plan(parse(text, overrides=overrides), catalog.load(), observed)


def value(of: Plan, field: str) -> str:
    return next(decision.value for decision in of.decisions if decision.field == field)


def reason(of: Plan, field: str) -> str:
    return next(decision.reason for decision in of.decisions if decision.field == field)


@pytest.mark.parametrize(
    ("name", "text", "facts"),
    [
        ("modern-offline", "", {}),
        ("modern-connected", "", {"buildable": published(), "cgroup": "v2"}),
        ("book", "profile: book", {}),
        ("book-2", "profile: book-2", {}),
        ("bare", "profile: bare", {}),
        ("offline", "profile: offline", {"bundles": (SourceContent("imported-1.22.17", "1.22.17"),)}),
        ("workers-0", "workers: {count: 0}", {}),
        ("workers-1", "workers: {count: 1}", {}),
        ("workers-12", "workers: {count: 12}", {}),
    ],
)
def test_golden_plans(
    name: str, text: str, facts: dict[str, Any], observe: Observe, golden: Callable[[str, Path], None]
) -> None:
    golden(planned(text, observe(**facts)).as_json(), GOLDEN / f"plan-{name}.json")


def test_the_same_input_gives_the_same_plan_and_survives_json(observe: Observe) -> None:
    first, second = planned("", observe()), planned("", observe())
    assert first == second
    assert Plan.from_json(first.as_json()) == first


def test_every_decision_has_a_reason_and_stands_once(observe: Observe) -> None:
    decisions = planned("profile: book", observe()).decisions
    assert all(decision.reason and decision.value for decision in decisions)
    assert len({decision.field for decision in decisions}) == len(decisions)


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("", "no"),
        ("login: root", "key"),
        ("profile: book", "key"),
        ("profile: book\nbook: {root_password: canary-1}", "password"),
    ],
)
def test_the_plan_says_how_root_logs_in_and_never_the_password(text: str, login: str, observe: Observe) -> None:
    lab = planned(text, observe())
    assert lab.root_login == login
    assert "canary" not in lab.as_json()
    if login == "password":
        assert reason(lab, "book.root_password") == "lab.yml:2: root's, let in from the lab's own nodes only"


def test_addresses_names_and_ports_follow_the_book(observe: Observe) -> None:
    nodes = planned("", observe()).nodes
    assert [(node.name, node.address, node.ssh_port) for node in nodes] == [
        ("m-k8s", "192.168.56.10", 60010),
        ("w1-k8s", "192.168.56.101", 60101),
        ("w2-k8s", "192.168.56.102", 60102),
        ("w3-k8s", "192.168.56.103", 60103),
    ]


def test_without_workers_the_control_plane_takes_the_work(observe: Observe) -> None:
    kubernetes = planned("workers: {count: 0}", observe()).kubernetes
    assert kubernetes is not None
    assert kubernetes.untaint_control_plane


class TestSource:
    BUNDLE = SourceContent("b1", "1.20.2")

    def test_a_bundle_that_fits_comes_first(self, observe: Observe) -> None:
        source = planned("", observe(bundles=(self.BUNDLE,), buildable=published())).source
        assert (source.bundle_id, source.build_bundle) == ("b1", False)
        assert source.url == "http://192.168.56.1:60080"

    def test_then_one_made_of_what_the_community_publishes(self, observe: Observe) -> None:
        lab = planned("", observe(buildable=published(), cgroup="v2"))
        assert (lab.source.origin, lab.source.build_bundle) == ("community", True)
        assert reason(lab, "packages.source").endswith("made from the community's repositories, about 4 min")

    def test_a_bundle_for_another_guest_does_not_fit(self, observe: Observe) -> None:
        other = replace(self.BUNDLE, guest="rocky-9")
        assert planned("", observe(bundles=(other,))).source.build_bundle
        assert planned("", observe(bundles=(replace(other, guest="debian-12"),))).source.bundle_id == "b1"

    def test_else_a_bundle_is_built_and_the_reason_says_so(self, observe: Observe) -> None:
        lab = planned("", observe())
        assert lab.source.build_bundle
        assert "no answer within 3 s" in reason(lab, "packages.source")
        assert lab.kubernetes
        assert lab.kubernetes.version == "1.20.2"

    def test_a_bundle_of_another_version_does_not_fit(self, observe: Observe) -> None:
        lab = planned('kubernetes: {version: "1.20"}', observe(bundles=(SourceContent("b2", "1.30.1"),)))
        assert lab.source.build_bundle

    def test_auto_takes_the_newest_bundle_and_oldest_the_oldest(self, observe: Observe) -> None:
        host = observe(bundles=(self.BUNDLE, SourceContent("b2", "1.22.3")))
        assert planned("", host).source.bundle_id == "b2"
        assert planned("profile: book", host).source.bundle_id == "b1"

    def test_auto_passes_over_versions_that_cannot_run_here(self, observe: Observe) -> None:
        lab = planned("", observe(buildable=published(containerd="1.7")))
        assert lab.kubernetes
        assert lab.kubernetes.version.startswith("1.35.")
        assert "1.37 does not run here" in reason(lab, "kubernetes.version")

    def test_a_mirror_is_kept_in_the_plan_with_its_addresses(self, observe: Observe) -> None:
        text = "packages: {source: mirror, mirror: {url: https://m.example/}}"
        addresses = Addresses(url="https://m.example")
        source = planned(text, observe(buildable=published(origin="mirror"), addresses=addresses)).source
        assert (source.origin, source.addresses) == ("mirror", addresses)


MODERN = SourceContent(
    "k-1.37.2",
    "1.37.2",
    images=("registry.k8s.io/etcd:3.7.3", "docker.io/cloudnativelabs/kube-router:v2.1.0"),
    has_coredns=True,
    has_crictl=True,
    containerd="2.4.2",
    components={"etcd": "3.7.3", "coredns": "1.15.0"},
)


def both(**facts: Any) -> tuple[BuildableBundle, ...]:
    """What a host with a Go module proxy and a Debian mirror can build."""
    modules = BuildableBundle(MODERN, "modules", **{"possible": True, "seconds": 660, "disk": 17000, **facts})
    return modules, BuildableBundle(
        SourceContent("debian-1.20.2", "1.20.2"), "debian", possible=True, seconds=370, disk=9000
    )


class TestBuiltBundle:
    def test_go_modules_come_before_debians_source_and_the_quicker_one_is_named(self, observe: Observe) -> None:
        lab = planned("", observe(buildable=both()))
        assert lab.kubernetes
        assert (lab.kubernetes.version, lab.source.bundle_id) == ("1.37.2", "k-1.37.2")
        assert lab.source.build_bundle
        why = reason(lab, "packages.source")
        assert "one is made from the Go module proxy, about 11 min (`--kubernetes 1.20.2`: about 6 min)" in why

    def test_debians_source_remains_when_no_proxy_answers(self, observe: Observe) -> None:
        lab = planned("", observe(buildable=both(possible=False, reason="no proxy")))
        assert lab.kubernetes
        assert lab.kubernetes.version == "1.20.2"

    @pytest.mark.parametrize(("source", "version"), [("modules", "1.37.2"), ("debian", "1.20.2")])
    def test_a_named_origin_is_taken_whatever_the_cache_has(self, observe: Observe, source: str, version: str) -> None:
        other = SourceContent("b9", "1.36.3", has_coredns=True, has_crictl=True, containerd="2.4.2")
        lab = planned(f"packages: {{source: {source}}}", observe(buildable=both(), bundles=(other,)))
        assert lab.kubernetes
        assert lab.kubernetes.version == version

    def test_a_bundle_of_a_named_origin_is_not_built_twice(self, observe: Observe) -> None:
        lab = planned("packages: {source: modules}", observe(buildable=both(), bundles=(MODERN,)))
        assert (lab.source.bundle_id, lab.source.build_bundle) == ("k-1.37.2", False)

    def test_kubeadm_is_told_the_true_versions_of_etcd_and_coredns(self, observe: Observe) -> None:
        kubernetes = planned("", observe(bundles=(MODERN,))).kubernetes
        assert kubernetes
        assert (kubernetes.etcd_tag, kubernetes.dns_tag, kubernetes.containerd) == ("3.7.3", "v1.15.0", "2.4.2")

    def test_kube_router_enforces_policies_on_the_bridge_network(self, observe: Observe) -> None:
        lab = planned("", observe(bundles=(MODERN,)))
        assert lab.kubernetes
        assert lab.kubernetes.network_policy_image == "docker.io/cloudnativelabs/kube-router:v2.1.0"
        assert value(lab, "kubernetes.network_policy") == "kube-router"

    def test_without_its_image_the_plan_says_that_policies_are_not_enforced(self, observe: Observe) -> None:
        assert value(planned("", observe()), "kubernetes.network_policy") == "not enforced"

    def test_cgroup_v1_is_allowed_with_a_warning_where_the_release_wants_to_be_told(self, observe: Observe) -> None:
        lab = planned("", observe(bundles=(MODERN,), cgroup="v1"))
        assert lab.kubernetes
        assert lab.kubernetes.allow_cgroup_v1
        assert "May 2029" in reason(lab, "kubernetes.cgroup_v1")
        on_v2 = planned("", observe(bundles=(MODERN,), cgroup="v2")).kubernetes
        assert on_v2
        assert not on_v2.allow_cgroup_v1

    @pytest.mark.parametrize(
        ("text", "resolvers", "expected"),
        [
            ("network: {resolvers: [9.9.9.9]}", ("192.0.2.1",), ("9.9.9.9",)),
            ("", ("192.0.2.1",), ("192.0.2.1",)),
            ("", (), ("192.168.56.1",)),
        ],
    )
    def test_pods_in_containers_never_inherit_a_resolver_on_loopback(
        self, observe: Observe, text: str, resolvers: tuple[str, ...], expected: tuple[str, ...]
    ) -> None:
        kubernetes = planned(text, observe(bundles=(MODERN,), resolvers=resolvers)).kubernetes
        assert kubernetes
        assert kubernetes.pod_resolvers == expected


SYSTEM = SourceContent("system-1", "")


class TestLabWithoutKubernetes:
    BUILDABLE = (*both(), BuildableBundle(SYSTEM, "system", possible=True, seconds=90, disk=2000))

    def test_system_packages_are_built_where_nothing_else_is_at_hand(self, observe: Observe) -> None:
        source = planned("profile: bare", observe(buildable=self.BUILDABLE)).source
        assert (source.origin, source.bundle_id, source.build_bundle) == ("system", "system-1", True)

    def test_the_plan_says_why_and_how_long(self, observe: Observe) -> None:
        why = reason(planned("profile: bare", observe(buildable=self.BUILDABLE)), "packages.source")
        assert why.startswith("no bundle in the cache fits: ")
        assert why.endswith("one is made from the distribution's packages, about 2 min")

    def test_its_bundle_has_no_images(self, observe: Observe) -> None:
        source = planned("profile: bare", observe(buildable=self.BUILDABLE)).source
        assert source.bundle_id == "system-1"

    @pytest.mark.parametrize("cached", [MODERN, SourceContent("b1", "1.20.2"), SYSTEM])
    def test_any_bundle_of_the_cache_comes_first(self, observe: Observe, cached: SourceContent) -> None:
        host = observe(buildable=(*published(), *self.BUILDABLE), bundles=(cached,))
        source = planned("profile: bare", host).source
        assert (source.bundle_id, source.build_bundle) == (cached.id, False)

    def test_of_several_bundles_the_newest_version_is_taken(self, observe: Observe) -> None:
        assert planned("profile: bare", observe(bundles=(SYSTEM, MODERN))).source.bundle_id == MODERN.id

    def test_the_profile_offline_takes_system_packages_of_the_cache(self, observe: Observe) -> None:
        lab = planned("profile: offline\nkubernetes: {enabled: false}", observe(bundles=(SYSTEM,)))
        assert lab.source.bundle_id == "system-1"

    @pytest.mark.parametrize("text", ["", "profile: book"])
    def test_a_cluster_takes_no_bundle_of_system_packages(self, observe: Observe, text: str) -> None:
        lab = planned(text, observe(buildable=self.BUILDABLE, bundles=(SYSTEM,)))
        assert lab.kubernetes
        assert lab.source.bundle_id != "system-1"

    def test_to_a_cluster_it_is_no_quicker_bundle(self, observe: Observe) -> None:
        lab = planned("", observe(buildable=(self.BUILDABLE[0], self.BUILDABLE[2])))
        assert reason(lab, "packages.source").endswith("one is made from the Go module proxy, about 11 min")


class TestEndpoint:
    def test_a_new_cluster_has_a_name_after_the_lab(self, observe: Observe) -> None:
        kubernetes = planned("name: demo", observe()).kubernetes
        assert kubernetes
        assert kubernetes.endpoint == "api.demo.internal"

    def test_a_cluster_that_was_made_with_an_address_keeps_it(self, observe: Observe) -> None:
        lab = planned("", observe())
        assert lab.kubernetes
        old = replace(lab, kubernetes=replace(lab.kubernetes, endpoint=None))
        again = planned("", replace(observe(), existing=old)).kubernetes
        assert again
        assert again.endpoint is None


class TestRuntime:
    def test_docker_by_default_gives_way_to_containerd_from_1_24_on(self, observe: Observe) -> None:
        lab = planned('kubernetes: {version: "1.30"}', observe(buildable=published()))
        assert lab.kubernetes
        assert lab.kubernetes.runtime == "containerd"
        assert "no dockershim" in reason(lab, "kubernetes.runtime")

    def test_docker_stays_when_it_is_named_and_the_bundle_carries_cri_dockerd(self, observe: Observe) -> None:
        bundle = SourceContent("b", "1.30.1", has_cri_dockerd=True, has_crictl=True)
        lab = planned("kubernetes: {runtime: docker}", observe(bundles=(bundle,)))
        assert lab.kubernetes
        assert lab.kubernetes.runtime == "docker"
        assert lab.kubernetes.cri_socket == "unix:///var/run/cri-dockerd.sock"

    def test_the_version_of_cri_dockerd_is_that_of_the_bundle(self, observe: Observe) -> None:
        bundle = replace(MODERN, has_cri_dockerd=True, components={**MODERN.components, "cri_dockerd": "0.3.17"})
        kubernetes = planned("kubernetes: {runtime: docker}", observe(bundles=(bundle,))).kubernetes
        assert kubernetes
        assert kubernetes.cri_dockerd_version == "0.3.17"
        assert kubernetes.kubelet_gates_off == ("ExtendWebSocketsToKubelet",)

    def test_auto_passes_over_releases_whose_containerd_nobody_brings(self, observe: Observe) -> None:
        lab = planned("", observe(buildable=published(containerd="1.7"), cgroup="v2"))
        assert lab.kubernetes
        assert lab.kubernetes.version.startswith("1.35.")

    def test_the_book_runs_docker_through_dockershim(self, observe: Observe) -> None:
        kubernetes = planned("profile: book", observe()).kubernetes
        assert kubernetes
        assert (kubernetes.version, kubernetes.runtime) == ("1.20.2", "docker")
        assert kubernetes.cri_socket == "/var/run/dockershim.sock"


class TestGracePeriods:
    @pytest.mark.parametrize(("version", "seconds"), [("1.31.9", 40), ("1.37.2", 50)])
    def test_they_are_kubernetes_own(self, version: str, seconds: int, observe: Observe) -> None:
        bundle = replace(MODERN, kubernetes=version)
        kubernetes = planned("", observe(bundles=(bundle,))).kubernetes
        assert kubernetes
        assert (kubernetes.grace_periods, kubernetes.node_grace_period) == ("kubernetes", seconds)

    def test_the_profile_teaching_has_short_ones_and_the_plan_names_real_ones(self, observe: Observe) -> None:
        lab = planned("profile: teaching", observe(bundles=(MODERN,)))
        assert lab.kubernetes
        assert (lab.kubernetes.node_grace_period, lab.kubernetes.eviction_period) == (16, 30)
        assert reason(lab, "kubernetes.grace_periods") == (
            "profile teaching: a silent node is NotReady after 16 s, its pods leave 30 s later; "
            "real clusters wait 50 and 300 s"
        )


class TestNetworkOfPods:
    def test_calico_when_its_images_can_be_had(self, observe: Observe) -> None:
        kubernetes = planned("", observe(buildable=published(), cgroup="v2")).kubernetes
        assert kubernetes
        assert (kubernetes.cni, kubernetes.cni_version, kubernetes.dns) == ("calico", "3.32.1", "coredns")

    def test_bridge_cni_and_dnsmasq_otherwise_with_the_reason(self, observe: Observe) -> None:
        lab = planned("", observe())
        assert lab.kubernetes
        assert (lab.kubernetes.cni, lab.kubernetes.dns) == ("bridge_cni", "dnsmasq")
        assert reason(lab, "kubernetes.cni") == "auto: the bundle has no Calico images"

    def test_an_imported_bundle_may_bring_calico_and_coredns(self, observe: Observe) -> None:
        content = SourceContent("b", "1.20.2", ("quay.io/calico/node:v3.17.1",), has_calico=True, has_coredns=True)
        kubernetes = planned("", observe(bundles=(content,))).kubernetes
        assert kubernetes
        assert (kubernetes.cni, kubernetes.cni_version, kubernetes.dns) == ("calico", "3.17.1", "coredns")

    def test_none_leaves_the_network_and_its_policies_to_the_user(self, observe: Observe) -> None:
        lab = planned("kubernetes: {cni: none}", observe(bundles=(MODERN,)))
        assert lab.kubernetes
        assert (lab.kubernetes.cni, lab.kubernetes.network_policy_image) == ("none", None)
        assert reason(lab, "kubernetes.cni") == "lab.yml:1: nodes become Ready once you install a pod network"
        assert value(lab, "kubernetes.network_policy") == "not enforced"
        assert reason(lab, "kubernetes.network_policy") == "left to the pod network that you install"

    def test_a_lab_without_a_network_of_labctls_stays_one(self, observe: Observe) -> None:
        first = planned("kubernetes: {cni: none}", observe())
        again = planned("", observe(existing=first)).kubernetes
        assert again
        assert again.cni == "none"


class TestPorts:
    def test_a_default_block_moves_when_one_of_it_is_busy(self, observe: Observe) -> None:
        lab = planned("", observe(busy_ports=(BusyPort(60102, "sshd"), BusyPort(61010))))
        assert [node.ssh_port for node in lab.nodes] == [62010, 62101, 62102, 62103]
        assert "60102 is held by sshd" in reason(lab, "network.ssh_ports")

    def test_the_api_port_moves_too(self, observe: Observe) -> None:
        lab = planned("", observe(busy_ports=(BusyPort(60443), BusyPort(60444))))
        assert lab.kubernetes
        assert lab.kubernetes.api_port == 60445


class TestSubnet:
    def test_auto_takes_the_next_free_slash_24(self, observe: Observe) -> None:
        taken = (TakenNetwork("192.168.56.0/24", "lab one"), TakenNetwork("192.168.57.128/25", "eth3"))
        lab = planned("network: {subnet: auto}", observe(networks=taken))
        assert lab.network.subnet == "192.168.58.0/24"
        assert lab.network.gateway == "192.168.58.1"
        assert lab.control_plane.address == "192.168.58.10"


class TestProvider:
    def test_auto_takes_the_first_that_is_ready_and_says_why_not_the_others(self, observe: Observe) -> None:
        lab = planned("", observe())
        assert lab.provider == "container"
        assert "virtualbox: VBoxManage is not installed" in reason(lab, "provider")

    def test_virtualbox_is_the_primary_one(self, observe: Observe) -> None:
        ready = tuple(ProviderState(name, ready=True) for name in ("virtualbox", "container"))
        assert planned("", observe(providers=ready)).provider == "virtualbox"

    def test_an_adapter_that_virtualbox_left_is_taken_again(self, observe: Observe) -> None:
        ready = (ProviderState("virtualbox", ready=True), ProviderState("container", ready=True))
        left = (TakenNetwork("192.168.56.0/24", "interface vboxnet0 of this host", interface="vboxnet0"),)
        host = observe(providers=ready, networks=left)
        assert planned("", host).network.subnet == "192.168.56.0/24"
        assert planned("provider: container", host).network.subnet == "192.168.57.0/24"

    def test_machines_bring_the_guests_kernel_not_the_hosts(self, observe: Observe) -> None:
        ready = (ProviderState("virtualbox", ready=True),)
        lab = planned('kubernetes: {version: "1.35"}', observe(providers=ready, buildable=published(), cgroup="v1"))
        assert lab.kubernetes
        assert lab.kubernetes.cgroup_driver == "systemd"


class TestExistingLab:
    def test_what_was_decided_stays_decided(self, observe: Observe) -> None:
        first = planned("", observe(busy_ports=(BusyPort(60010, "x"), BusyPort(60443, "x"))))
        host = observe(existing=first, buildable=(*published(), *observe().buildable), cgroup="v1")
        again = planned("", host)
        assert (again.nodes, again.kubernetes, again.network) == (first.nodes, first.kubernetes, first.network)

    def test_new_workers_continue_the_ports_of_the_old_ones(self, observe: Observe) -> None:
        first = planned("", observe(busy_ports=(BusyPort(60010, "x"),)))
        again = planned("workers: {count: 5}", observe(existing=first))
        assert [node.ssh_port for node in again.nodes] == [61010, 61101, 61102, 61103, 61104, 61105]

    def test_a_subnet_found_by_auto_is_kept(self, observe: Observe) -> None:
        text = "network: {subnet: auto}"
        first = planned(text, observe(networks=(TakenNetwork("192.168.56.0/24", "lab one"),)))
        assert planned(text, observe(existing=first)).network.subnet == "192.168.57.0/24"

    def test_needs_no_memory_for_machines_that_are_there(self, observe: Observe) -> None:
        first = planned("", observe())
        bundle = (SourceContent("debian-1.20.2", "1.20.2"),)
        assert planned("", observe(existing=first, memory=10, disk_free=10, bundles=bundle)).nodes == first.nodes


def test_rendering_asks_nothing_of_the_host(observe: Observe) -> None:
    host = replace(
        observe(),
        providers=(),
        memory=0,
        disk_free=0,
        cpus=1,
        buildable=(BuildableBundle(SourceContent("b", "1.20.2"), "debian", possible=False, reason="no mirror"),),
    )
    lab = plan(parse("provider: virtualbox\nguest: centos-7\nprofile: book"), catalog.load(), host, "render")
    assert (lab.provider, lab.guest) == ("virtualbox", "centos-7")
    assert lab.nodes[0].display_name == "m-k8s(github_SysNet4Admin)"
