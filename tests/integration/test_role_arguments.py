"""Every role refuses what its specification does not allow, before it touches anything, and names the variable."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator import proc

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
# A text is no number, no truth value and no dictionary; a list of dictionaries holds no texts.
WRONG: dict[str, Any] = {"int": "many", "bool": "perhaps", "dict": "text"}


def wrong_value(option: dict[str, Any]) -> Any:
    """A value that the option must refuse; None where its type takes every value."""
    if option.get("choices"):
        return "no-such-choice"
    if option["type"] == "list" and option.get("elements") == "dict":
        return ["text"]
    return WRONG.get(option["type"])


def cases() -> list[tuple[str, str, dict[str, Any]]]:
    """Role, variable that has to be named, and the variables it is called with."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    for role in ROLES:
        specs = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
        options = specs["argument_specs"]["main"].get("options") or {}
        required = {name: "x" for name, option in options.items() if option.get("required")}
        found += [(role, name, {key: "x" for key in required if key != name}) for name in required]
        for name, option in options.items():
            if (value := wrong_value(option)) is not None:
                found.append((role, name, {**required, name: value}))
    return found


CASES = cases()


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each case was refused with: one run for all of them, on this machine, which no role gets to touch."""
    directory = tmp_path_factory.mktemp("arguments")
    plays: list[dict[str, Any]] = [
        {
            "hosts": "this",
            "gather_facts": False,
            "tasks": [
                {
                    "block": [
                        {"ansible.builtin.include_role": {"name": role}, "vars": variables},
                        {"ansible.builtin.set_fact": {"messages": "{{ messages + ['accepted'] }}"}},
                    ],
                    "rescue": [
                        {"ansible.builtin.set_fact": {"messages": "{{ messages + [ansible_failed_result.msg] }}"}}
                    ],
                }
            ],
        }
        for role, _, variables in CASES
    ]
    answers = directory / "messages.json"
    answer = {"content": "{{ messages | to_json }}", "dest": str(answers), "mode": "0600"}
    plays.append({**plays[0], "tasks": [{"ansible.builtin.copy": answer, "check_mode": False}]})
    (directory / "cases.yml").write_text(yaml.safe_dump(plays), encoding="utf-8")
    interpreter = {"ansible_python_interpreter": sys.executable}
    hosts = {"this": {"ansible_connection": "local", "messages": [], **interpreter}}
    (directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    # Check mode besides: a role that accepted its case would still change nothing here.
    argv = ["ansible-playbook", "--check", "-i", str(directory / "hosts.yml"), str(directory / "cases.yml")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    proc.run(argv, timeout=600, env={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PATH": path})
    return [str(message) for message in json.loads(answers.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{role}-{name}-{n}" for n, (role, name, _) in enumerate(CASES)]
)
def test_a_role_names_the_variable_that_it_refuses(number: int, messages: list[str]) -> None:
    _, name, _ = CASES[number]
    assert name in messages[number], messages[number]
