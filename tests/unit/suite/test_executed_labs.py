"""docs/tested.md calls executed what a test built and saw verified, and says when that was before a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import catalog
from orchestrator.catalog import tested
from orchestrator.catalog.tested import ExecutedLab
from orchestrator.observed import Observed, SourceContent
from orchestrator.plan import plan
from orchestrator.spec import parse
from tests.selection import labs

LAB = ExecutedLab(
    *("1.36.3", "containerd", "bridge_cni", "libvirt", "debian-13", "modules", 2, "v2"),
    *("tests/x.py", "2026-01-02T03:04:05+00:00", "0123456789ab"),
    changed=False,
)


@pytest.fixture
def home(tmp_path: Path, observe: Callable[..., Observed]) -> Path:
    """A folder with the plan and the last verify of a lab."""
    state = tmp_path / ".labctl" / "k8s-lab"
    (state / "reports").mkdir(parents=True)
    content = SourceContent("b", "1.37.2", has_coredns=True, has_crictl=True, containerd="2.1.0")
    lab = plan(parse("workers: {count: 1}"), catalog.load(), observe(bundles=(content,)))
    (state / "plan.json").write_text(lab.as_json())
    verified(tmp_path, ok=True)
    return tmp_path


def verified(home: Path, *, ok: bool) -> None:
    last = {"at": 0.0, "ok": ok, "failed": [] if ok else ["dns.pods on the cluster"]}
    (home / ".labctl" / "k8s-lab" / "reports" / "last.json").write_text(json.dumps(last))


def test_a_verified_lab_is_recorded_with_what_it_was(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "labs.json"
    labs.record_lab(home, __file__, "by hand", file)
    (row,) = labs.executed(file)
    wanted = {"kubernetes": "1.37.2", "runtime": "containerd", "cni": "bridge_cni", "provider": "container", "nodes": 2}
    assert {name: row[name] for name in wanted} == wanted
    assert (row["test"], row["note"], row["changed"]) == ("tests/unit/suite/test_executed_labs.py", "by hand", False)


def test_a_larger_lab_of_the_same_tree_stays(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "labs.json"
    labs.record_lab(home, __file__, "small", file)
    file.write_text(file.read_text().replace('"nodes": 2', '"nodes": 4').replace("small", "large"))
    labs.record_lab(home, __file__, "small again", file)
    assert [row["note"] for row in labs.executed(file)] == ["large"]


def test_a_lab_that_verify_found_something_in_is_not_recorded(home: Path, tmp_path: Path) -> None:
    verified(home, ok=False)
    with pytest.raises(AssertionError, match=r"dns\.pods on the cluster"):
        labs.record_lab(home, __file__, file=tmp_path / "labs.json")
    assert not (tmp_path / "labs.json").exists()


def test_a_row_says_when_what_it_ran_through_has_changed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "labs.json"
    labs.record_lab(home, __file__, file=file)
    monkeypatch.setattr(labs, "hash_inputs", lambda *_: "of another tree")
    assert labs.executed(file)[0]["changed"]


def test_what_says_what_ran_is_no_input_of_it(tmp_path: Path) -> None:
    assert not [pattern for pattern in labs.PROVISION if (labs.ROOT / "orchestrator/catalog/data").match(pattern)]
    assert "orchestrator/catalog" not in labs.PROVISION


@pytest.mark.parametrize(
    ("lab", "changed"),
    [
        (LAB, ""),
        (
            replace(LAB, changed=True),
            ", changed since",
        ),
    ],
)
def test_the_page_says_where_a_combination_ran(lab: ExecutedLab, changed: str) -> None:
    page = tested.render(catalog.load(), (lab,))
    shown = f"**executed** at 0123456 (2026-01-02){changed}, libvirt, debian-13, modules |"
    assert f"| 1.36 | containerd | bridge_cni | v1beta4 (list of arguments) | v1, v2 | yes | {shown}" in page
    assert "| 1.35 | containerd | bridge_cni | v1beta4 (list of arguments) | v1, v2 | yes | read up |" in page


def test_the_catalogs_record_and_the_tested_page_are_of_the_results(golden: Callable[[str, Path], None]) -> None:
    rows: list[dict[str, Any]] = labs.executed()
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    golden(text, labs.ROOT / "orchestrator" / "catalog" / "data" / "executed.json")
    golden(tested.page(), labs.ROOT / "docs" / "tested.md")
