"""Which cases a run of the tests chooses, what it records of them, and how a part goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.selection import parts as selection_parts
from tests.selection import plugin
from tests.selection.choice import Case, Result, Test, choose, choose_pending
from tests.selection.inputs import hash_files, hash_inputs, stable_text
from tests.selection.parts import PARTS, Part, part_of
from tests.selection.results import read_results, write_results

ROOT = Path(__file__).resolve().parents[3]


def case(name: str, key: str = "now", *, seconds: float = 60, representative: bool = False) -> Case:
    return Case(name, (Test(name, key, "drift", seconds),), representative)


def result(date: str, key: str = "now", *, seconds: float = 60, outcome: str = "passed") -> Result:
    return Result(date, "abc", seconds, outcome, key)


def names(cases: tuple[Case, ...]) -> list[str]:
    return [one.id for one in cases]


def test_a_case_with_changed_inputs_comes_before_an_older_result() -> None:
    results = {"old": result("2026-01-01"), "changed": result("2026-02-01", "before")}
    assert names(choose([case("old"), case("changed")], results, 60).chosen) == ["changed", "old"]


def test_a_case_that_failed_comes_first_like_a_changed_one() -> None:
    results = {"old": result("2026-01-01"), "failed": result("2026-02-01", outcome="failed")}
    assert names(choose([case("old"), case("failed")], results, 60).chosen) == ["failed", "old"]


def test_among_changed_cases_the_representative_comes_first() -> None:
    chosen = choose([case("rest"), case("sample", representative=True)], {}, 60).chosen
    assert names(chosen) == ["sample", "rest"]


def test_of_unchanged_cases_the_oldest_result_comes_first() -> None:
    results = {"new": result("2026-02-01"), "old": result("2026-01-01")}
    assert names(choose([case("new"), case("old")], results, 60).chosen) == ["old", "new"]


def test_recorded_seconds_decide_how_many_fit() -> None:
    results = {"a": result("2026-01-01", seconds=100), "b": result("2026-01-02", seconds=30)}
    choice = choose([case("a"), case("b"), case("c", seconds=90)], results, 2)
    assert names(choice.chosen) == ["c", "b"]
    assert names(choice.left) == ["a"]


def test_a_representative_case_that_changed_is_chosen_whether_it_fits_or_not() -> None:
    choice = choose([case("rest"), case("sample", representative=True)], {}, 0.5)
    assert (names(choice.chosen), names(choice.left)) == (["sample"], ["rest"])


def test_a_representative_case_that_did_not_change_has_to_fit() -> None:
    assert choose([case("sample", representative=True)], {"sample": result("2026-01-01")}, 0.5).chosen == ()


def test_nothing_is_chosen_for_no_minutes() -> None:
    assert choose([case("a")], {}, 0).chosen == ()


def test_a_full_part_leaves_out_what_has_a_current_result() -> None:
    results = {"done": result("2026-01-01"), "stale": result("2026-01-01", "before")}
    choice = choose_pending([case("done"), case("stale"), case("new")], results, 60)
    assert names(choice.chosen) == ["new", "stale"]
    assert choice.left == ()


def test_a_full_part_repeats_failed_cases_after_those_without_a_result() -> None:
    results = {"failed": result("2026-01-01", outcome="failed")}
    assert names(choose_pending([case("failed"), case("new")], results, 60).chosen) == ["new", "failed"]


def test_a_story_is_as_long_as_its_tests_and_current_only_with_all_of_them() -> None:
    story = Case("module", (Test("one", "now", "vm", 10), Test("two", "now", "vm", 20)))
    results = {"one": result("2026-01-01", seconds=100)}
    assert story.estimate(results) == 120
    assert not story.is_current(results)
    assert story.last_run(results) == ""


def test_results_are_read_as_they_were_written_one_line_a_test(tmp_path: Path) -> None:
    file = tmp_path / "results" / "drift.json"
    results = {"b": result("2026-01-02"), "a": Result("2026-01-01", "abc", 1.5, "skipped", "key", {"load": 3.5})}
    write_results(file, results)
    assert read_results(file) == results
    assert len(file.read_text().splitlines()) == 4


def test_there_are_no_results_without_a_file(tmp_path: Path) -> None:
    assert read_results(tmp_path / "none.json") == {}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "roles" / "docker").mkdir(parents=True)
    (tmp_path / "roles" / "docker" / "main.yml").write_text("one")
    hash_files.cache_clear()
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        lambda role: (role / "main.yml").write_text("two"),
        lambda role: (role / "main.yml").rename(role / "other.yml"),
        lambda role: (role / "added.yml").write_text(""),
    ],
    ids=["content", "name", "new file"],
)
def test_a_changed_input_changes_the_key(tree: Path, change: Callable[[Path], object]) -> None:
    before = hash_inputs(tree, ["roles"])
    change(tree / "roles" / "docker")
    hash_files.cache_clear()
    assert hash_inputs(tree, ["roles"]) != before


def test_caches_do_not_change_the_key(tree: Path) -> None:
    before = hash_inputs(tree, ["roles"])
    (tree / "roles" / "docker" / "__pycache__").mkdir()
    (tree / "roles" / "docker" / "__pycache__" / "x.pyc").write_text("")
    hash_files.cache_clear()
    assert hash_inputs(tree, ["roles"]) == before


def test_an_input_that_is_not_there_is_refused(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match="playbooks"):
        hash_inputs(tree, ["playbooks"])


def test_the_data_of_a_case_is_the_same_text_in_every_process(tmp_path: Path) -> None:
    value = {"file": tmp_path / "x", "names": frozenset({"b", "a", "c"}), "object": object()}
    text = re.sub(r"\s+", " ", stable_text(value, tmp_path))
    assert text == "{'file': PosixPath('/x'), 'names': frozenset({'a', 'b', 'c'}), 'object': <object object>}"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_inputs_and_tests_of_a_part_exist(part: Part) -> None:
    assert hash_inputs(ROOT, part.inputs)
    assert all((ROOT / path).exists() for path in part.paths)


@pytest.mark.parametrize(
    ("path", "markers", "name"),
    [
        ("tests/faults/test_faults.py", {"real"}, "faults"),
        ("tests/faults/test_faults.py", {"real", "kills"}, "kills"),
        ("tests/molecule/test_scenarios.py", {"vm"}, "vm"),
        ("tests/molecule/test_scenarios.py", set(), "molecule"),
        ("tests/soak/test_resets.py", set(), "resets"),
    ],
)
def test_a_test_belongs_to_one_part(path: str, markers: set[str], name: str) -> None:
    part = part_of(path, markers)
    assert part is not None
    assert part.name == name


def test_a_test_of_no_part_always_runs() -> None:
    assert part_of("tests/unit/plan/test_plan.py", set()) is None


CASES = """
import pytest
@pytest.mark.parametrize("number", range(3))
def test_number(number, record_property):
    record_property("load", number)
    assert number != {failing}
"""
STORY = """
import pytest
pytestmark = pytest.mark.story
def test_first(): pass
def test_second(): pass
"""


@pytest.fixture
def runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Run a small part: three cases, or those of another text, with results in the directory `results`."""
    tests = pytester.mkdir("cases")
    (pytester.path / "input").write_text("one")
    pytester.makeini("[pytest]\nmarkers =\n story\n takes\n inputs\n representative\n")
    monkeypatch.setattr(plugin, "ROOT", pytester.path)
    monkeypatch.setattr(selection_parts, "PARTS", (Part("small", ("cases/",), ("input",)),))

    def run(*options: str, text: str = CASES.replace("{failing}", "9")) -> pytest.RunResult:
        hash_files.cache_clear()
        (tests / "test_cases.py").write_text(text)
        return pytester.runpytest_inprocess("-p", "tests.selection.plugin", "--results=results", *options, "cases")

    return run


def outcomes(pytester: pytest.Pytester) -> dict[str, str]:
    recorded = read_results(pytester.path / "results" / "small.json")
    return {plugin.short_name(name): one.outcome for name, one in recorded.items()}


def test_a_run_records_outcome_and_properties_of_each_case(
    runs: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    runs("--minutes=60", text=CASES.replace("{failing}", "1")).assert_outcomes(passed=2, failed=1)
    recorded = read_results(pytester.path / "results" / "small.json")
    assert [(one.outcome, one.facts) for one in recorded.values()] == [
        ("passed", {"load": 0}),
        ("failed", {"load": 1}),
        ("passed", {"load": 2}),
    ]


def test_a_run_without_options_records_nothing(
    runs: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    runs().assert_outcomes(passed=3)
    assert outcomes(pytester) == {}


def test_a_part_goes_on_where_it_stopped_and_ends_complete(runs: Callable[..., pytest.RunResult]) -> None:
    first = runs("--part=small", "--minutes=2.5")
    first.assert_outcomes(passed=2, deselected=1)
    first.stdout.fnmatch_lines(["*small: 2 of 3 cases have a current result; `./test full small` goes on with: 2*"])
    second = runs("--part=small", "--minutes=2.5")
    second.assert_outcomes(passed=1, deselected=2)
    second.stdout.fnmatch_lines(["*small: 3 of 3 cases have a current result; complete*"])


def test_a_complete_part_runs_nothing_and_succeeds(runs: Callable[..., pytest.RunResult]) -> None:
    runs("--part=small")
    again = runs("--part=small")
    again.assert_outcomes(deselected=3)
    assert again.ret == pytest.ExitCode.OK


def test_a_part_begins_anew_when_an_input_changed(
    runs: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    runs("--part=small")
    (pytester.path / "input").write_text("two")
    runs("--part=small").assert_outcomes(passed=3)


def test_a_part_with_too_few_minutes_for_any_case_fails(runs: Callable[..., pytest.RunResult]) -> None:
    short = runs("--part=small", "--minutes=0.1")
    assert short.ret == pytest.ExitCode.TESTS_FAILED
    short.stdout.fnmatch_lines(["*not within 0.1 minutes, left to `./test full`: 0, 1, 2*"])


def test_no_case_begins_that_would_not_end_within_the_minutes(
    runs: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The third case would end after 3 minutes, and closing takes another one.
    monkeypatch.setattr(plugin, "CLOSING_SECONDS", 61)
    stopped = runs("--part=small", "--minutes=2", text=CASES.replace("{failing}", "9"))
    stopped.assert_outcomes(deselected=1)
    assert "0 of 3 cases have a current result" in stopped.stdout.str()


def test_a_result_of_a_case_that_is_gone_is_dropped(
    runs: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    runs("--part=small")
    runs("--part=small", text=CASES.replace("{failing}", "9").replace("range(3)", "range(1, 4)"))
    assert set(outcomes(pytester)) == {"1", "2", "3"}


def test_a_story_runs_as_a_whole_or_not_at_all(runs: Callable[..., pytest.RunResult]) -> None:
    runs("--minutes=1.5", text=STORY).assert_outcomes(deselected=2)
    runs("--minutes=2", text=STORY).assert_outcomes(passed=2)


def test_worker_processes_choose_alike_and_one_process_records(
    runs: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        "from tests.selection import parts, plugin\nfrom pathlib import Path\nplugin.ROOT = Path(__file__).parent\n"
        "parts.PARTS = (parts.Part('small', ('cases/',), ('input',)),)\n"
    )
    several = runs("--part=small", "-n2")
    several.assert_outcomes(passed=3)
    assert set(outcomes(pytester).values()) == {"passed"}
    several.stdout.fnmatch_lines(["*small: 3 of 3 cases have a current result; complete*"])
