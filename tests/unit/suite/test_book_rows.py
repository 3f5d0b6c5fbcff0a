"""The rows of the book: each that is run asserts something, each that is not says why, in the book's order."""

from __future__ import annotations

import re

import pytest

from orchestrator import paths
from orchestrator.drills.catalog import load_all
from tests.book.rows import READER_MINOR, RUNS, Row, images, read_rows

ROWS = read_rows()
MINORS = {READER_MINOR, "1.20", "1.37"}


def described(row: Row) -> str:
    return f"{row.section} {row.where}: {row.command or row.shows}"


def lacks_assertion(row: Row) -> bool:
    return row.is_run and not (any(row.expect) or row.lines or row.lacks or row.versions)


def test_every_row_that_is_typed_asserts_what_is_seen() -> None:
    assert [described(row) for row in ROWS if lacks_assertion(row)] == []


def test_a_row_without_an_assertion_is_found() -> None:
    assert lacks_assertion(Row("3.2.1", "m-k8s", "kubectl get pods", "pods", "test"))
    assert lacks_assertion(Row("3.2.1", "m-k8s", "kubectl get pods", "pods", "test", expect=("",)))


def test_a_row_that_is_not_typed_says_why() -> None:
    assert [described(row) for row in ROWS if not row.is_run and len(row.run.split()) < 4] == []
    assert {row.run for row in ROWS if row.is_run} == set(RUNS)


def test_every_row_says_what_the_book_shows() -> None:
    assert [described(row) for row in ROWS if not row.shows] == []


def test_the_rows_are_in_the_order_of_the_book() -> None:
    numbers = [tuple(int(number) for number in row.section.split(".")) for row in ROWS]
    assert numbers == sorted(numbers)


def test_an_answer_that_differs_by_version_is_known_for_each_that_is_run() -> None:
    assert [described(row) for row in ROWS if row.versions and set(row.versions) != MINORS] == []


def test_every_regular_expression_is_one() -> None:
    for row in ROWS:
        for pattern in (*row.expect, *row.lacks, *row.lines, *row.keep.values(), *sum(row.versions.values(), ())):
            re.compile(pattern)


def test_a_name_is_kept_before_it_is_used() -> None:
    known: set[str] = set()
    for row in ROWS:
        used = re.findall(r"\{([A-Z_]+)\}", " ".join((row.where, row.command, *row.expect, *row.lacks)))
        assert set(used) <= known, described(row)
        known |= set(row.keep)


def test_every_section_with_rows_of_kubectl_has_its_exercise() -> None:
    exercised = {section for drill in load_all([paths.data("drills")]).drills.values() for section in drill.book}
    typed = {row.section for row in ROWS if row.section.startswith(("3.1.6", "3.2"))}
    assert typed == exercised


@pytest.mark.parametrize(
    ("row", "answer", "problems"),
    [
        ({"expect": ("^nginx +Running",)}, "nginx  Running", []),
        ({"expect": ("^nginx +Running",)}, "nginx  Pending", ["lacks ^nginx +Running"]),
        ({"lacks": ("web",)}, "a web", ["has web"]),
        ({"lines": {"^web": 2}}, "web-1\nweb-2\n", []),
        ({"lines": {"^web": 2}}, "web-1\n", ["has 1 lines of ^web, not 2"]),
        ({"versions": {"1.20": ("old",), "1.37": ("new",)}}, "old", ["lacks new"]),
        ({"keep": {"IP": "ip (.+)"}}, "none", ["lacks IP, ip (.+)"]),
        ({"expect": ("^{ONE} gone",)}, "pod-1 gone", []),
    ],
)
def test_an_answer_is_judged_by_all_that_a_row_expects(
    row: dict[str, object], answer: str, problems: list[str]
) -> None:
    judged = Row("3.2.1", "m-k8s", "kubectl get pods", "pods", "test", **row)  # type: ignore[arg-type]
    assert judged.problems(answer, "1.37", {"ONE": "pod-1"}) == problems


def test_parts_of_an_answer_are_kept_for_later_rows() -> None:
    row = Row("3.2.1", "m-k8s", "kubectl get pods -o wide", "pods", "test", keep={"IP": r"^nginx .*?(\d\S+)$"})
    assert row.kept("NAME IP\nnginx Running 10.1.2.3\n", {}) == {"IP": "10.1.2.3"}


def test_the_book_s_images_have_stand_ins_with_a_tag() -> None:
    assert all(re.fullmatch(r"--image=\S+:\S+", typed) for typed in images().values())
