"""The lab.yml that `labctl init` writes: everything in it, and nothing changed that was not chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from orchestrator.spec import load, parse, template
from orchestrator.spec.load import Override
from orchestrator.verbs.init import init

CHOSEN = {"name": "my-lab", "profile": "teaching", "workers.count": 2}
# A key behind a #, which text is not: no word of it stands alone before a colon.
KEY = re.compile(r"^( *)# ([a-z_]+:)(?= |$)", re.MULTILINE)


def test_what_was_chosen_stands_and_nothing_else() -> None:
    found = parse(template.render(CHOSEN))
    assert found.lab == parse("", overrides=[Override(field, value, field) for field, value in CHOSEN.items()]).lab
    assert found.explicit >= set(CHOSEN)
    assert not found.is_explicit("kubernetes.version")


@pytest.mark.parametrize("chosen", [{}, CHOSEN, {"profile": "book"}, {"profile": "bare", "provider": "container"}])
def test_every_key_may_lose_its_number_sign(chosen: dict[str, object]) -> None:
    text = template.render(chosen)
    whole = KEY.sub(r"\1\2", text)
    assert parse(whole).lab == parse(text).lab


def test_the_keys_of_list_entries_stand_below_their_list() -> None:
    lines = template.render({}).splitlines()
    start = lines.index("# mounts: []")
    assert [line.split(":")[0] for line in lines[start + 1 : start + 5]] == [
        f"#   {key}" for key in ("host", "node", "nodes", "writable")
    ]


def test_no_line_is_wider_than_a_page() -> None:
    longest = max(template.render({}).splitlines(), key=len)
    assert len(longest) <= 140, longest


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "lab.yml"
    file.write_text("version: 1\nname: mine\n", encoding="utf-8")
    with pytest.raises(SpecError, match="exists and is left alone") as caught:
        init(CHOSEN, file)
    assert "labctl plan" in caught.value.fix
    assert load(file).lab.name == "mine"


def test_values_that_do_not_go_together_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        init({"name": "My Lab"}, tmp_path / "lab.yml")
    assert "not a DNS label" in caught.value.problems[0].what
    assert not (tmp_path / "lab.yml").exists()
