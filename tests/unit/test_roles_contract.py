"""Every role keeps the same contract: one set of variables, checks with unique ids, honest tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.parent for path in (ROOT / "roles").glob("*/meta/main.yml"))
COMMANDS = {"ansible.builtin.command", "ansible.builtin.shell", "ansible.builtin.raw", "ansible.builtin.script"}
FIELDS = {"id", "title", "layer", "severity", "remedy", "test"}

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def options_of(role: Path) -> dict[str, Any]:
    points = read(role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for point in points.values() for name, option in (point.get("options") or {}).items()}


def option_trees(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for option in options.values():
        yield option
        yield from option_trees(option.get("options") or {})


def tasks_of(role: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in ("tasks", "handlers"):
        for path in sorted((role / folder).glob("**/*.yml")):
            for task in flatten(read(path) or []):
                yield path, task


def flatten(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from flatten(task.get(part) or [])


def checks_of(role: Path) -> list[dict[str, Any]]:
    """What a role declares of its checks."""
    return list(read(role / "meta" / "checks.yml")["checks"])


def test_there_are_roles() -> None:
    assert ROLES


@each_role
def test_argument_specs_defaults_and_readme_name_the_same_variables(role: Path) -> None:
    options, defaults = options_of(role), read(role / "defaults" / "main.yml") or {}
    optional = {name for name, option in options.items() if not option.get("required")}
    readme = set(re.findall(rf"^\| `({role.name}_\w+)` \|", (role / "README.md").read_text(), re.MULTILINE))
    assert set(defaults) - set(options) == set(), "defaults without a specification"
    assert optional - set(defaults) == set(), "optional variables without a default"
    assert readme == set(options)


@each_role
def test_argument_specs_are_typed_and_repeat_no_default(role: Path) -> None:
    for option in option_trees(options_of(role)):
        assert option.get("type")
        assert option.get("description")
        assert "default" not in option


@each_role
def test_public_variables_carry_the_name_of_the_role_and_internal_ones_underscores(role: Path) -> None:
    internal = {name for path in (role / "vars").glob("*.yml") for name in read(path) or {}}
    assert all(name.startswith(f"{role.name}_") for name in options_of(role))
    assert all(name.startswith(f"__{role.name}_") for name in internal)


@each_role
def test_no_task_hides_an_error(role: Path) -> None:
    assert [task for _, task in tasks_of(role) if task.get("ignore_errors")] == []


@each_role
def test_every_command_says_when_it_changes_something(role: Path) -> None:
    silent = [
        f"{path.relative_to(ROOT)}: {task.get('name')}"
        for path, task in tasks_of(role)
        if COMMANDS & set(task)
        and "changed_when" not in task
        and not any("creates" in (task[key] or {}) for key in COMMANDS & set(task))
    ]
    assert silent == []


@each_role
def test_every_task_has_a_name(role: Path) -> None:
    assert [str(path.relative_to(ROOT)) for path, task in tasks_of(role) if not task.get("name")] == []


@each_role
def test_handlers_are_named_for_their_role(role: Path) -> None:
    handlers = read(role / "handlers" / "main.yml") or []
    assert [task["name"] for task in handlers if not task["name"].endswith(f" for {role.name}")] == []


@each_role
def test_every_check_is_declared_in_full(role: Path) -> None:
    checks = checks_of(role)
    assert checks, f"roles/{role.name}/meta/checks.yml has no check"
    for check in checks:
        assert set(check) - {"after"} == FIELDS, f"{check}: {sorted(FIELDS ^ set(check))} missing or unknown"
        assert check["id"].startswith(f"{role.name}."), check
        assert check["severity"] in {"error", "warning"}, check


@each_role
def test_templates_end_with_a_newline(role: Path) -> None:
    assert [path.name for path in (role / "templates").glob("**/*.j2") if not path.read_text().endswith("\n")] == []
