"""Which nodes a pattern selects."""

from __future__ import annotations

import pytest

from orchestrator.errors import SpecError
from orchestrator.lab.node_selection import select_nodes
from orchestrator.verbs.exec import command_line
from tests.unit.providers.test_container_spec import PLAN


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("all", ["m-k8s", "w1-k8s"]),
        ("workers", ["w1-k8s"]),
        ("control_plane", ["m-k8s"]),
        ("*", ["m-k8s", "w1-k8s"]),
        ("w1*", ["w1-k8s"]),
        ("w1-k8s, m-k8s", ["m-k8s", "w1-k8s"]),
    ],
)
def test_a_pattern_selects_in_the_order_of_the_plan(pattern: str, names: list[str]) -> None:
    assert [node.name for node in select_nodes(PLAN, pattern)] == names


@pytest.mark.parametrize("pattern", ["", "w9", "m-k8s,w9*", "m-k8s,"])
def test_a_part_that_selects_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(SpecError) as refused:
        select_nodes(PLAN, pattern)
    assert "m-k8s, w1-k8s" in refused.value.fix


def test_one_word_is_a_shell_line_and_several_are_a_program_with_arguments() -> None:
    assert command_line(["ps | wc -l"]) == "ps | wc -l"
    assert command_line(["sh", "-c", "echo 'a  b'"]) == """sh -c 'echo '"'"'a  b'"'"''"""
