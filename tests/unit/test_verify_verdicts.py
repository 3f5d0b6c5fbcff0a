"""What verify makes of a check's outcome, of a choice of checks, and of the roles in a lab."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.verify.dependencies import PREREQUISITES
from orchestrator.verify.job import ClusterTarget, Job, Selection, Target
from orchestrator.verify.plugin import Check, evidence_of, verdict
from orchestrator.verify.roles import belongs, role_of
from orchestrator.verify.run import check_files
from orchestrator.verify.session import CommandTimeoutError

CHECK = Check("docker.running", "runtime", "w1-k8s", "error", "docker runs", "labctl provision", ())


def test_a_check_that_passes_needs_no_words() -> None:
    passed = verdict(CHECK, None, 0.1)
    assert (passed.status, passed.evidence, passed.remedy) == ("ok", "", "")


def test_an_assertion_gives_its_own_message_and_nothing_of_pytest() -> None:
    error = AssertionError("docker.service is inactive\nassert ['inactive'] == ['active']\n  At index 0 diff")
    failed = verdict(CHECK, error, 0.1)
    assert (failed.status, failed.evidence, failed.remedy) == (
        "failed",
        "docker.service is inactive",
        "labctl provision",
    )


def test_a_failed_check_of_lesser_weight_is_a_warning() -> None:
    light = Check("a.b", "system", "w1-k8s", "warning", "", "", ())
    assert verdict(light, AssertionError("x"), 0).status == "warning"


def test_a_check_that_does_not_apply_says_why() -> None:
    skipped = verdict(CHECK, pytest.skip.Exception("not applicable: swap belongs to the host"), 0)
    assert (skipped.status, skipped.evidence) == ("not_applicable", "swap belongs to the host")


def test_a_check_that_waits_was_not_run() -> None:
    assert verdict(CHECK, pytest.skip.Exception("waits for docker.running"), 0).status == "not_run"


def test_a_node_that_gives_no_answer_is_an_error_not_a_failure() -> None:
    silent = verdict(CHECK, CommandTimeoutError("`docker info`: no answer within 20 s"), 20)
    assert (silent.status, silent.evidence) == ("error", "`docker info`: no answer within 20 s")


def test_a_check_that_breaks_is_named_as_broken() -> None:
    broken = verdict(CHECK, KeyError("docker_version"), 0)
    assert broken.status == "error"
    assert broken.evidence == "the check itself broke: KeyError: 'docker_version'"


def test_testinfras_own_message_becomes_a_sentence() -> None:
    text = (
        "Unexpected exit code 1 for CommandResult(backend=<b>, exit_status=1, command=b'docker info', "
        "_stdout=b'', _stderr=b'Cannot connect to the Docker daemon\\n')\nassert 1 == 0"
    )
    assert evidence_of(text) == "`docker info` ended with 1: Cannot connect to the Docker daemon"


def test_evidence_stays_short() -> None:
    assert len(evidence_of("x" * 5000)) <= 700
    assert len(evidence_of("\n".join(["line"] * 50)).splitlines()) == 8


@pytest.mark.parametrize(
    ("entry", "taken"),
    [
        ("runtime", True), ("w1-k8s", True), ("runtime/w1-k8s", True), ("/w1-k8s", True), ("docker.running", True),
        ("network", False), ("w2-k8s", False), ("runtime/w2-k8s", False), ("docker.images", False),
    ],
)  # fmt: skip
def test_only_chooses_by_layer_node_and_id(entry: str, taken: bool) -> None:
    assert Selection((entry,)).takes("docker.running", "runtime", "w1-k8s") is taken


def test_only_names_what_does_not_exist() -> None:
    selection = Selection(("runtime", "w9-k8s", "docker.runing", "runtime/w9-k8s", "/"))
    assert selection.unknown(["w1-k8s"], ["docker.running"]) == ("w9-k8s", "docker.runing", "runtime/w9-k8s", "/")


def test_a_job_survives_the_way_to_the_engine() -> None:
    job = Job(
        (
            Target("m-k8s", ("ssh", "m"), {"group_names": ["cluster"]}, None),
            Target("w1-k8s", ("ssh", "w"), {}, "stopped"),
        ),
        ClusterTarget("m-k8s", "1.20.2", {"m-k8s": "192.168.56.10"}, "bridge_cni", "dnsmasq"),
        ("a.py",),
        "/",
        Selection(("dns",)),
        30,
        True,
    )
    assert Job.from_json(job.as_json()) == job


BARE = {"group_names": ["cluster", "control_plane"]}
FULL = {"kubernetes_packages_version": "1.20.2", "container_runtime": "docker", "cluster_cni": "bridge_cni"}


@pytest.mark.parametrize(
    ("role", "bare", "control_plane", "worker"),
    [
        ("node_base", True, True, True),
        ("swapoff", True, True, True),
        ("docker", False, True, True),
        ("containerd", False, False, False),
        ("bridge_cni", False, True, True),
        ("calico", False, False, False),
        ("kubeadm_init", False, True, False),
        ("kubeadm_join", False, False, True),
        ("cri_dockerd", False, False, False),
    ],
)
def test_checks_of_a_role_belong_where_the_role_runs(role: str, bare: bool, control_plane: bool, worker: bool) -> None:
    assert belongs(role, BARE) is bare
    assert belongs(role, {**FULL, "group_names": ["cluster", "control_plane"]}) is control_plane
    assert belongs(role, {**FULL, "group_names": ["cluster", "workers"]}) is worker


def test_the_role_of_a_check_is_read_from_its_file() -> None:
    assert role_of(Path("/x/roles/docker/tests/test_docker.py")) == "docker"
    assert role_of(Path("/x/orchestrator/verify/machine_checks/machine.py")) == ""


def test_an_assertion_without_a_message_says_what_was_found() -> None:
    text = "assert 'inactive' == 'active'\n  - active\n  + inactive\n  ? ++"
    assert evidence_of(text) == "found `inactive` instead of `active`"
    assert evidence_of("assert 0 == 1\n +  where 0 = <built-in>") == "0 == 1"


def test_every_prerequisite_names_a_check_that_exists() -> None:
    known = set()
    for file in check_files(with_cluster=True):
        known |= set(re.findall(r'"([a-z_]+\.[a-z_]+)"', Path(file).read_text(encoding="utf-8")))
        known |= {f"control_plane.{name}" for name in re.findall(r'_check\(\s*"([a-z_]+)"', Path(file).read_text())}
    for identity, prerequisites in PREREQUISITES.items():
        assert {identity, *prerequisites} <= known
