"""What verify makes of a Corefile, and of the DNS servers that a forward leads to."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from orchestrator.verify.cluster import Cluster
from orchestrator.verify.cluster_checks.dns import changed_at, reason_of_end, started_at
from orchestrator.verify.cluster_checks.dns import test_corefile_loaded as load_check
from orchestrator.verify.corefile import loops, parse, problems
from orchestrator.verify.job import ClusterTarget
from tests.unit.checks.test_verify_cluster import Shell

KUBEADM = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
    }
    loop
    reload
    loadbalance
}
"""


UNANSWERED = "no server block has the plugin kubernetes for cluster.local"


def found(text: str, domain: str = "cluster.local") -> list[str]:
    return problems(text, domain, "10.96.0.10")


def test_kubeadms_own_corefile_is_sound() -> None:
    assert found(KUBEADM) == []


def test_a_server_block_has_its_zones_and_plugins() -> None:
    (block,) = parse(KUBEADM)
    assert block.zones == ("",)
    assert block.arguments_of("forward") == [(".", "/etc/resolv.conf")]


def test_the_lines_of_a_plugins_own_block_are_no_plugins() -> None:
    (block,) = parse(KUBEADM)
    assert "lameduck" not in {one.plugin for one in block.directives}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("kubernetes cluster.local", "kubernetes other.local", UNANSWERED),
        (".:53 {", "example.org:53 {", UNANSWERED),
        ("    ready\n", "", "the plugin ready is missing"),
        ("    health {\n       lameduck 5s\n    }\n", "", "the plugin health is missing"),
        ("forward . ", "forward example.org ", "nothing is forwarded: names outside the cluster have no answer"),
        ("/etc/resolv.conf", "127.0.0.1", "forward . 127.0.0.1 leads back to CoreDNS itself"),
        ("/etc/resolv.conf", "dns://10.96.0.10:53", "forward . dns://10.96.0.10:53 leads back to CoreDNS itself"),
        ("/etc/resolv.conf", "[::1]:53", "forward . [::1]:53 leads back to CoreDNS itself"),
        ("    loadbalance\n}\n", "    loadbalance\n", "a block is not closed"),
        ("    errors\n", "    errors\n}\n}\n", "line 4 closes a block that none opened"),
        ("    errors\n", "    errors \"\n", "line 2 has a quote without its end"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_corefile_is_said(old: str, new: str, problem: str) -> None:
    assert old in KUBEADM
    assert problem in found(KUBEADM.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/etc/resolv.conf", "9.9.9.9:53 tls://[2620:fe::fe]"),
        (".:53 {", "# comment {\n.:53 { # another"),
        (".:53 {", "example.org {\n  whoami\n}\n., cluster.local:53 {"),
        ("    loop\n", "    hosts /etc/hosts {\n      fallthrough\n    }\n"),
        ("    ready\n    kubernetes cluster.local in-addr.arpa ip6.arpa {", "    import common\n    kubernetes {"),
    ],
)
def test_what_people_write_into_a_corefile_is_no_problem(old: str, new: str) -> None:
    assert old in KUBEADM
    assert found(KUBEADM.replace(old, new, 1)) == []


def test_another_domain_is_found_without_regard_to_case_and_last_dot() -> None:
    assert found(KUBEADM.replace("cluster.local", "Lab.Example."), "lab.example") == []


@pytest.mark.parametrize(
    ("server", "loop"),
    [("127.0.0.53", True), ("::1", True), ("10.96.0.10", True), ("192.168.1.1", False), ("fe80::1%eth0", False)],
)
def test_a_pod_does_not_get_out_by_a_loopback_or_its_own_address(server: str, loop: bool) -> None:
    assert loops([server], "10.96.0.10") == ([server] if loop else [])


LOOP = '[FATAL] plugin/loop: Loop (127.0.0.1:48093 -> :53) detected for zone ".", see https://coredns.io/plugins/loop'


def test_a_loop_is_called_a_loop() -> None:
    assert reason_of_end(f".:53\n{LOOP}\n[INFO] end\n").startswith("Loop detected, what it forwards comes back to it: ")


def test_any_other_end_is_told_in_coredns_own_last_words() -> None:
    assert reason_of_end("/etc/coredns/Corefile:2 - Error during parsing: Unknown directive 'x'\n\n").endswith("'x'")
    assert reason_of_end("") == "it left no log"


def test_only_a_change_of_the_data_counts_as_one_of_the_corefile() -> None:
    fields = [("f:data", "2026-01-01T00:00:10Z"), ("f:metadata", "2026-01-01T00:09:00Z")]
    configuration: dict[str, Any] = {
        "metadata": {
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"fieldsV1": {key: {}}, "time": time} for key, time in fields],
        }
    }
    running = {"state": {"running": {"startedAt": "2026-01-01T00:00:20Z"}}}
    assert started_at({"status": {"containerStatuses": [running]}}) - changed_at(configuration) == 10


def test_a_pod_that_does_not_run_has_loaded_nothing_old() -> None:
    assert started_at({"status": {}}) == float("inf")


CHANGED = {"metadata": {"creationTimestamp": "2026-01-01T00:01:00Z"}, "data": {"Corefile": KUBEADM}}
LATER = datetime.datetime(2026, 1, 1, 1, tzinfo=datetime.UTC).timestamp()


def evaluate(started: str, *answers: str) -> list[str]:
    """Evaluate the check of a CoreDNS that started at this time of day; return what the control plane was asked."""
    status = {"containerStatuses": [{"state": {"running": {"startedAt": f"2026-01-01T{started}Z"}}}]}
    metadata = {"name": "coredns-1", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
    pods = json.dumps({"items": [{"kind": "Pod", "metadata": metadata, "spec": {}, "status": status}]})
    shell = Shell(*((0, answer, "") for answer in (pods, *answers)))
    load_check(Cluster(shell, ClusterTarget("m-k8s", "1.37.2", {}, "bridge_cni", dns="coredns")), CHANGED)
    return shell.asked


def test_a_coredns_that_started_after_the_change_is_asked_nothing() -> None:
    assert len(evaluate("00:02:00")) == 1


def test_a_change_has_its_time_to_come_into_force() -> None:
    assert "date" in evaluate("00:00:00", str(datetime.datetime.fromisoformat("2026-01-01T00:02:00Z").timestamp()))[-1]


def test_a_coredns_that_reloaded_since_the_change_passes() -> None:
    asked = evaluate("00:00:00", str(LATER), "[INFO] plugin/reload: Running configuration SHA512 = 1b22\n")
    assert "--since-time=2026-01-01T00:01:00Z" in asked[-1]


def test_a_coredns_that_did_not_reload_since_the_change_fails() -> None:
    with pytest.raises(AssertionError, match="coredns-1 did not load the Corefile that was changed at 2026"):
        evaluate("00:00:00", str(LATER), "[ERROR] plugin/errors: 2 example.org. A\n")
