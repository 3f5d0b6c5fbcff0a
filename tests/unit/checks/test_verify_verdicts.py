"""What verify makes of how a test ends, of a selection of checks, and of what check files declare."""

from __future__ import annotations

import ast
import importlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import paths
from orchestrator.checks.declarations import declaration_file, declared_checks
from orchestrator.checks.model import LAYERS, Check, Result
from orchestrator.errors import LabError
from orchestrator.verify.check_files import REACHABLE, check_files
from orchestrator.verify.job import ClusterTarget, Job, Selection, Target
from orchestrator.verify.outcomes import evidence_of, outcome_of
from orchestrator.verify.session import CommandTimeoutError

DOCS = Path(__file__).parents[3] / "docs"
CHECK = Check("docker.running", "docker runs", "runtime", remedy="labctl provision")


def verdict(check: Check, error: BaseException | None, seconds: float) -> Result:
    return check.result(outcome_of(error), "w1-k8s", seconds)


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
    light = Check("a.b", "", severity="warning")
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
        ClusterTarget("m-k8s", "1.20.2", {"m-k8s": "192.168.56.10"}, "bridge_cni"),
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
    declared = declared_checks(paths.data("roles") / role / "tests" / f"test_{role}.py")
    assert declared.applies_to(BARE) is bare
    assert declared.applies_to({**FULL, "group_names": ["cluster", "control_plane"]}) is control_plane
    assert declared.applies_to({**FULL, "group_names": ["cluster", "workers"]}) is worker


def test_a_role_declares_its_checks_in_meta_and_any_other_file_beside_itself() -> None:
    role, own = Path("/x/roles/docker/tests/test_docker.py"), Path("/x/orchestrator/verify/machine_checks/machine.py")
    assert declaration_file(role) == Path("/x/roles/docker/meta/checks.yml")
    assert declaration_file(own) == Path("/x/orchestrator/verify/machine_checks/machine.yml")


def test_a_declaration_that_makes_no_sense_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "test_a.yml").write_text("checks:\n  - {id: a.b, title: A, colour: red}\n")
    with pytest.raises(LabError, match=r"test_a\.yml .*colour"):
        declared_checks(tmp_path / "test_a.py")


def test_an_assertion_without_a_message_says_what_was_found() -> None:
    text = "assert 'inactive' == 'active'\n  - active\n  + inactive\n  ? ++"
    assert evidence_of(text) == "found `inactive` instead of `active`"
    assert evidence_of("assert 0 == 1\n +  where 0 = <built-in>") == "0 == 1"


def collected_tests(file: Path) -> set[str]:
    """The tests that pytest would collect from a check file: its functions, with the values they are given."""
    tests: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            values = parameters(file, node)
            tests |= {f"{node.name}[{value}]" for value in values} or {node.name}
    return tests


def parameters(file: Path, function: ast.FunctionDef) -> list[str]:
    """The values of the one `parametrize` mark of a check, which name a constant of its module."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.parametrize":
            module = importlib.import_module(f"orchestrator.verify.{file.parent.name}.{file.stem}")
            return list(getattr(module, ast.unparse(decorator.args[1])))
    return []


@pytest.mark.parametrize("file", check_files(with_cluster=True), ids=lambda file: file.stem)
def test_each_check_that_is_declared_has_a_test_and_each_test_a_declaration(file: Path) -> None:
    assert set(declared_checks(file).checks) == collected_tests(file)


def all_checks() -> list[Check]:
    files = check_files(with_cluster=True)
    return [REACHABLE, *(check for file in files for check in declared_checks(file).checks.values())]


def test_ids_of_checks_are_unique() -> None:
    ids = Counter(check.id for check in all_checks())
    assert {identity: count for identity, count in ids.items() if count > 1} == {}


def test_every_prerequisite_names_a_check_that_exists() -> None:
    ids = {check.id for check in all_checks()}
    assert {identity for check in all_checks() for identity in check.after} <= ids


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.id)
def test_every_check_has_a_known_layer_and_severity_a_title_and_a_remedy(check: Check) -> None:
    assert check.layer in LAYERS
    assert check.severity in ("error", "warning")
    assert check.title
    assert check.remedy


def test_the_reference_lists_exactly_the_checks_that_are_declared(golden: Callable[[str, Path], None]) -> None:
    page = DOCS / "verify.md"
    head, mark, _ = page.read_text(encoding="utf-8").partition("## Every check\n")
    assert mark
    golden(head + mark + reference(all_checks()), page)


def reference(checks: list[Check]) -> str:
    """Every check in a row, in the order of the layers."""
    rows = ["| check | layer | what it verifies | severity | remedy |", "|---|---|---|---|---|"]
    for check in sorted(checks, key=lambda check: (LAYERS.index(check.layer), check.id)):
        remedy = check.remedy.replace("|", "\\|")
        rows.append(f"| `{check.id}` | {check.layer} | {check.title} | {check.severity} | `{remedy}` |")
    return "\n".join(["", *rows, ""])
