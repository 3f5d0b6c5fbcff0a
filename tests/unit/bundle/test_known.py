"""What nobody computed a sum of is confirmed once by the user, and held against what comes later."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.bundle import Known
from orchestrator.errors import HostError

ONE, OTHER = "1" * 64, "2" * 64
URL = "https://github.example/cri-dockerd.tgz"


def test_without_an_answer_it_is_refused_with_the_flag_that_confirms_it(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        Known(tmp_path / "known.json").confirm("cri-dockerd-0.3.26", ONE, URL)
    assert f"what {URL} sent has the sha256 {ONE}" in caught.value.message
    assert caught.value.fix.startswith(f"--accept cri-dockerd-0.3.26={ONE}")
    assert not (tmp_path / "known.json").exists()


def test_an_answer_is_asked_for_once(tmp_path: Path) -> None:
    questions: list[str] = []

    def ask(question: str) -> bool:
        questions.append(question)
        return True

    Known(tmp_path / "known.json", ask=ask).confirm("cri-dockerd-0.3.26", ONE, URL)
    assert len(questions) == 1
    assert Known(tmp_path / "known.json").get("cri-dockerd-0.3.26") == ONE


def test_the_flag_confirms_that_one_sum_alone(tmp_path: Path) -> None:
    known = Known(tmp_path / "known.json", {"cri-dockerd-0.3.26": ONE})
    known.confirm("cri-dockerd-0.3.26", ONE, URL)
    with pytest.raises(HostError):
        known.confirm("cri-dockerd-0.3.26", OTHER, URL)


def test_a_tag_that_moved_is_refused_until_the_new_digest_is_accepted(tmp_path: Path) -> None:
    Known(tmp_path / "known.json").remember("pause:3.10", ONE)
    Known(tmp_path / "known.json").require("pause:3.10", ONE, "the image pause:3.10")
    with pytest.raises(HostError, match=f"sha256 {OTHER} instead of {ONE}"):
        Known(tmp_path / "known.json").require("pause:3.10", OTHER, "the image pause:3.10")
    Known(tmp_path / "known.json", {"pause:3.10": OTHER}).require("pause:3.10", OTHER, "the image pause:3.10")


def test_a_damaged_memory_is_named_with_what_it_costs_to_lose_it(tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text("{")
    with pytest.raises(HostError) as caught:
        Known(tmp_path / "known.json").get("x")
    assert "forgets what was seen" in caught.value.fix
