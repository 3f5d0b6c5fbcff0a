"""What cannot work is refused before any machine is made: message, fix and exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from orchestrator import catalog
from orchestrator.errors import ExitCode, LabError
from orchestrator.model import Inotify, Plan
from orchestrator.observed import BuildableBundle, BusyPort, Observed, ProviderState, SourceContent, TakenNetwork
from orchestrator.plan import plan
from orchestrator.spec import Override, parse
from tests.sources import published

Observe = Callable[..., Observed]
NOTHING = (BuildableBundle(SourceContent("b", "1.20.2"), "debian", possible=False, reason="no Debian mirror"),)
NOTHING_OF_SYSTEM = (BuildableBundle(SourceContent("s", ""), "system", possible=False, reason="no Debian mirror"),)
ONLINE = {"buildable": published()}


def refused(text: str, observed: Observed, *overrides: Override) -> LabError:
    with pytest.raises(LabError) as caught:
        plan(parse(text, overrides=overrides), catalog.load(), observed)
    return caught.value


WRONG = [
    pytest.param(
        "{profile: bare, registry: true}", {}, "registry", "has no container runtime", "remove", id="registry"
    ),
    pytest.param(
        "box: {name: a/b, version: '1'}", ONLINE, "box.name", "not made from Vagrant boxes", "remove `box`", id="box"
    ),
    pytest.param('kubernetes: {version: "1.99"}', {}, "kubernetes.version", "is not known", '"1.37.2"', id="future"),
    pytest.param('kubernetes: {version: "1.10"}', {}, "kubernetes.version", "is not known", '"1.18.20"', id="past"),
    pytest.param(
        'kubernetes: {version: "1.30"}',
        {},
        "kubernetes.version",
        "no answer within 3 s",
        "bundle import",
        id="unreachable",
    ),
    pytest.param(
        'kubernetes: {version: "1.23"}', ONLINE, "kubernetes.version", "1.24.17 to 1.37.2", "import", id="too-old"
    ),
    pytest.param(
        'kubernetes: {version: "1.30.99"}', ONLINE, "kubernetes.version", "1.30.99", '"1.30.14", the last', id="patch"
    ),
    pytest.param(
        'kubernetes: {version: "1.30", runtime: docker}',
        ONLINE,
        "kubernetes.runtime",
        "dockershim",
        "kubernetes.runtime: containerd",
        id="runtime-no-longer-supported",
    ),
    pytest.param(
        'kubernetes: {version: "1.34"}',
        {**ONLINE, "kernel": "4.18.0-1.el8"},
        "kubernetes.version",
        "needs kernel 4.19",
        '"1.31.0"',
        id="kernel",
    ),
    pytest.param(
        'kubernetes: {version: "1.36"}',
        {"buildable": published(containerd="1.7"), "cgroup": "v2"},
        "kubernetes.version",
        "needs containerd 2.0, debian-12 installs 1.6.20",
        '"1.35.8"',
        id="containerd",
    ),
    pytest.param(
        "kubernetes: {runtime: containerd}",
        {},
        "kubernetes.runtime",
        "crictl (cri-tools), through which kubeadm asks containerd, cannot be had",
        "kubernetes.runtime: docker",
        id="containerd-without-crictl",
    ),
    pytest.param("kubernetes: {cni: calico}", {}, "kubernetes.cni", "images cannot be had", "bridge_cni", id="calico"),
    pytest.param(
        'kubernetes: {cni: calico, version: "1.28"}',
        ONLINE,
        "kubernetes.cni",
        "no Calico version",
        "bridge_cni",
        id="1.28",
    ),
    pytest.param("kubernetes: {dns: coredns}", {}, "kubernetes.dns", "cannot be had", "dnsmasq", id="coredns"),
    pytest.param("guest: debain-12", {}, "guest", "not in the catalog", "debian-12", id="guest-typo"),
    pytest.param("guest: rocky-9", {}, "guest", "container has no Rocky", "debian-12", id="guest-of-containers"),
    pytest.param(
        "guest: centos-7",
        {"providers": (ProviderState("virtualbox", ready=True),)},
        "guest",
        "Python 3.8",
        "rocky-9",
        id="centos-7",
    ),
]


@pytest.mark.parametrize(("text", "facts", "field", "what", "fix"), WRONG)
def test_an_impossible_wish_is_refused_with_the_nearest_that_works(
    text: str, facts: dict[str, Any], field: str, what: str, fix: str, observe: Observe
) -> None:
    error = refused(text, observe(**facts))
    assert error.exit_code == ExitCode.USAGE
    assert len(error.problems) == 1, [str(problem) for problem in error.problems]
    assert error.problems[0].where == f"lab.yml:1 {field}"
    assert what in error.problems[0].what
    assert fix in error.problems[0].fix


UNREADY = [
    pytest.param(
        "provider: virtualbox",
        {},
        "provider virtualbox cannot be used: VBoxManage is not installed",
        "install VirtualBox, or provider: container",
        id="provider-not-installed",
    ),
    pytest.param(
        "",
        {"providers": (ProviderState("container", ready=False, detail="Docker is not installed", fix="apt"),)},
        "container: Docker is not installed",
        "apt",
        id="no-docker",
    ),
    pytest.param(
        "network: {ssh_port_base: 60010}",
        {"busy_ports": (BusyPort(60010, "sshd (1)"),)},
        "60010, SSH of m-k8s, is held",
        "end that program",
        id="explicit-ssh-port",
    ),
    pytest.param(
        "kubernetes: {api_port: 6443}",
        {"busy_ports": (BusyPort(6443, "k3s (9)"),)},
        "6443 is held by k3s (9)",
        "end that program",
        id="explicit-api-port",
    ),
    pytest.param("", {"disk_free": 900}, "900 MB free under", "LABCTL_CACHE", id="no-space"),
    pytest.param("", {"memory": 900}, "900 MB of memory", "--workers", id="no-memory"),
    pytest.param(
        "",
        {"inotify_limit": Inotify(128, 9999), "inotify_in_use": Inotify(56, 0)},
        "128 inotify instances for each user: 56 of root's are in use, 4 new nodes open 73 more",
        "sudo sysctl -w fs.inotify.max_user_instances=512; echo fs.inotify.max_user_instances=512 | sudo tee -a /etc/",
        id="inotify-instances",
    ),
    pytest.param(
        "profile: bare",
        {"inotify_limit": Inotify(128, 512), "inotify_in_use": Inotify(0, 500)},
        "512 inotify watches for each user: 500 of root's are in use",
        "sudo sysctl -w fs.inotify.max_user_watches=2048",
        id="inotify-watches",
    ),
    pytest.param("", {"cpus": 1}, "1 CPU", "more CPUs", id="one-cpu"),
    pytest.param("", {"buildable": NOTHING}, "no package source", "bundle import", id="no-source"),
    pytest.param("profile: bare", {"buildable": NOTHING_OF_SYSTEM}, "no Debian mirror", "bundle import", id="bare"),
    pytest.param("profile: offline", {}, "no bundle in the cache", "bundle build", id="no-bundle"),
    pytest.param(
        "profile: offline",
        {"bundles": (SourceContent("system-1", ""),)},
        "no bundle in the cache has Kubernetes",
        "bundle build",
        id="system-packages-alone",
    ),
    pytest.param(
        "packages: {source: community}", {}, "repositories here (no answer within 3 s)", "internet", id="community"
    ),
    pytest.param(
        "packages: {source: mirror, mirror: {url: http://m.example}}",
        {"buildable": published("404", "mirror")},
        "no bundle can be made from the mirror here (404)",
        "packages.mirror",
        id="mirror",
    ),
    pytest.param(
        "network: {subnet: 192.168.56.0/24}",
        {"networks": (TakenNetwork("192.168.56.0/24", "lab other (/home/x)", "other"),)},
        "used by lab other (/home/x)",
        "network.subnet: auto",
        id="explicit-subnet",
    ),
    pytest.param(
        "profile: book",
        {"networks": (TakenNetwork("192.168.1.0/24", "interface eth0 of this host"),)},
        "192.168.1.0/24 overlaps 192.168.1.0/24, used by interface eth0",
        "network.subnet: auto",
        id="subnet-of-a-profile",
    ),
    pytest.param(
        "network: {subnet: auto}",
        {"networks": (TakenNetwork("192.168.56.0/21", "vboxnet0"),)},
        "no /24 of",
        "destroy",
        id="no-subnet-left",
    ),
]


@pytest.mark.parametrize(("text", "facts", "what", "fix"), UNREADY)
def test_a_host_that_lacks_something_is_told_what_and_how_to_get_it(
    text: str, facts: dict[str, Any], what: str, fix: str, observe: Observe
) -> None:
    error = refused(text, observe(**facts))
    assert error.exit_code == ExitCode.HOST
    assert len(error.problems) == 1, [str(problem) for problem in error.problems]
    assert what in error.problems[0].what
    assert fix in error.problems[0].fix


def test_everything_that_is_wrong_is_told_at_once(observe: Observe) -> None:
    error = refused('guest: nonsense\nkubernetes: {version: "1.99"}', observe(cpus=1))
    assert error.exit_code == ExitCode.USAGE
    assert [problem.where for problem in error.problems] == [
        "lab.yml:1 guest",
        "lab.yml:2 kubernetes.version",
        "this host",
    ]


def test_an_option_is_named_as_the_place(observe: Observe) -> None:
    error = refused("", observe(), Override("kubernetes.version", "1.99", "--kubernetes"))
    assert error.problems[0].where == "--kubernetes"


class TestExistingLab:
    @pytest.fixture
    def existing(self, observe: Observe) -> Plan:
        return plan(parse(""), catalog.load(), observe())

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            ("network: {subnet: 192.168.57.0/24}", "network.subnet"),
            ("kubernetes: {pod_cidr: 172.18.0.0/16}", "kubernetes.pod_cidr"),
            ("kubernetes: {runtime: containerd}", "kubernetes.runtime"),
            ('kubernetes: {version: "1.21.0"}', "kubernetes.version"),
            ("kubernetes: {cni: none}", "kubernetes.cni"),
            ("kubernetes: {grace_periods: short}", "kubernetes.grace_periods"),
        ],
    )
    def test_what_its_machines_were_made_with_cannot_be_changed(
        self, text: str, field: str, existing: Plan, observe: Observe
    ) -> None:
        bundles = (SourceContent("b", "1.20.2", has_crictl=True), SourceContent("c", "1.21.0"))
        error = refused(text, observe(existing=existing, bundles=bundles))
        assert error.exit_code == ExitCode.USAGE
        assert any(problem.where == f"lab.yml:1 {field}" for problem in error.problems)
        assert all("destroy" in problem.fix for problem in error.problems)

    def test_a_lab_without_a_pod_network_does_not_get_one_of_labctls_later(self, observe: Observe) -> None:
        existing = plan(parse("kubernetes: {cni: none}"), catalog.load(), observe())
        error = refused("kubernetes: {cni: bridge_cni}", observe(existing=existing))
        assert "the lab exists with none; it cannot become bridge_cni" in error.problems[0].what

    def test_another_provider_is_refused(self, existing: Plan, observe: Observe) -> None:
        ready = tuple(ProviderState(name, ready=True) for name in ("virtualbox", "container"))
        error = refused("provider: virtualbox", observe(existing=existing, providers=ready))
        assert "it cannot become virtualbox" in str(error.problems[0])


@pytest.mark.parametrize(
    ("text", "limit", "in_use"),
    [
        pytest.param("", Inotify(128, 9999), Inotify(55, 0), id="just-enough"),
        pytest.param("", None, Inotify(500, 0), id="the-kernel-does-not-say"),
        pytest.param("provider: virtualbox", Inotify(1, 1), Inotify(1, 1), id="machines-with-a-kernel-of-their-own"),
    ],
)
def test_inotify_is_asked_for_only_where_nodes_take_it_of_the_host(
    text: str, limit: Inotify | None, in_use: Inotify, observe: Observe
) -> None:
    ready = tuple(ProviderState(name, ready=True) for name in ("container", "virtualbox"))
    observed = observe(inotify_limit=limit, inotify_in_use=in_use, providers=ready)
    assert plan(parse(text), catalog.load(), observed).nodes


def test_nodes_that_the_lab_has_do_not_ask_for_inotify_again(observe: Observe) -> None:
    observed = observe(inotify_limit=Inotify(128, 9999))
    existing = plan(parse(""), catalog.load(), observed)
    full = observe(inotify_limit=Inotify(128, 9999), inotify_in_use=Inotify(113, 0), existing=existing)
    assert len(plan(parse("workers: {count: 4}"), catalog.load(), full).nodes) == 5
    assert "1 new nodes open 15 more" in str(refused("workers: {count: 4}", _with_in_use(full, 114)).problems[0])


def _with_in_use(observed: Observed, instances: int) -> Observed:
    return replace(observed, inotify_in_use=Inotify(instances, 0))
