"""Every role keeps the same contract: one set of variables, checks with unique ids, honest tasks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.verbs import upgrade

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.parent.parent for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
# What is imported by other roles only is checked and tried through them.
IMPORTED = {"container_engine": ["containerd", "docker"]}
MODULES = {path.stem: path for path in (ROOT / "plugins" / "modules").glob("*.py")}
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
    if role.name in IMPORTED:
        pytest.skip("checked by the roles that import it")
    checks = checks_of(role)
    assert checks, f"roles/{role.name}/meta/checks.yml has no check"
    for check in checks:
        wrong = FIELDS ^ (set(check) - {"after", "pod_network", "settles"})
        assert not wrong, f"{check}: {sorted(wrong)} missing or unknown"
        assert check["id"].startswith(f"{role.name}."), check
        assert check["severity"] in {"error", "warning"}, check


@each_role
def test_templates_end_with_a_newline(role: Path) -> None:
    assert [path.name for path in (role / "templates").glob("**/*.j2") if not path.read_text().endswith("\n")] == []


def role_text(role: Path) -> str:
    folders = ("tasks", "handlers", "vars", "defaults", "templates")
    return "\n".join(path.read_text() for folder in folders for path in sorted((role / folder).rglob("*.*")))


@each_role
def test_a_role_declares_the_state_it_reads_and_reads_it_before_it_acts(role: Path) -> None:
    imported = [ROOT / "roles" / name for name, importers in IMPORTED.items() if role.name in importers]
    text = "".join(map(role_text, [role, *imported]))
    reads = "['node_state']" in text or "ansible_facts['os_family']" in text
    gathers = "node_state:" in text
    declared = read(role / "meta" / "state.yml") or {}
    assert gathers or not reads
    assert reads or not declared
    assert set(declared) <= set(yaml.safe_load(documentation_of("node_state"))["options"]) - {"refresh"}


@each_role
def test_what_a_role_reads_of_the_state_it_has_declared(role: Path) -> None:
    """Names in brackets after a kind are literal paths, units and settings."""
    declared = read(role / "meta" / "state.yml") or {}
    literal = re.findall(r"\['node_state'\]\['(\w+)'\]\['([^']+)'\]", role_text(role))
    kinds = {"free_mb": "free_space"}
    assert [(kind, name) for kind, name in literal if name not in declared.get(kinds.get(kind, kind), [])] == []


def documentation_of(module: str) -> str:
    tree = ast.parse(MODULES[module].read_text())
    return next(
        str(ast.literal_eval(node.value))
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION"
    )


@pytest.mark.parametrize("module", MODULES)
def test_a_module_documents_the_options_it_takes(module: str) -> None:
    options = yaml.safe_load(documentation_of(module))["options"]
    assert options
    assert all(re.search(rf'"{name}"', MODULES[module].read_text()) for name in options)


def test_a_role_that_others_import_is_imported_by_them() -> None:
    for role, importers in IMPORTED.items():
        using = [
            path.parents[1].name
            for path in (ROOT / "roles").glob("*/tasks/main.yml")
            if f"name: {role}\n" in path.read_text()
        ]
        assert sorted(using) == importers


def test_no_role_needs_a_file_of_a_playbook() -> None:
    texts = {path: path.read_text() for path in (ROOT / "roles").rglob("*.*") if path.suffix in (".yml", ".md", ".j2")}
    assert [str(path) for path, text in texts.items() if "playbooks/" in text] == []


def test_an_upgrade_asks_for_the_disk_that_the_roles_will_ask_for() -> None:
    defaults = yaml.safe_load((ROOT / "roles" / "container_engine" / "defaults" / "main.yml").read_text())
    assert defaults["container_engine_free_mb"] == upgrade.NEEDED_MB
