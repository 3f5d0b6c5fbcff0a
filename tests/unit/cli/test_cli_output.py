"""Results of verbs are printed in one place, and every command has one module."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from orchestrator.cli import output
from orchestrator.cli.main import COMMANDS, labctl
from orchestrator.errors import ExitCode

CLI = Path(output.__file__).parent

# Commands that do not print through `output.show` yet.
NOT_YET = {"doctor.py", "drill.py", "drill_views.py", "verify.py"}


@dataclass(frozen=True)
class Stopped:
    """A result as verbs return them."""

    names: tuple[str, ...]
    schema = "labctl/stopped/v1"

    def as_dict(self) -> dict[str, object]:
        return {"lab": "k8s-lab", "stopped": list(self.names)}


def compares_output(path: Path) -> bool:
    """Whether a module decides by itself what --output json prints."""
    comparisons = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Compare)]
    sides = [side for node in comparisons for side in node.comparators if isinstance(side, ast.Constant)]
    return any(side.value == "json" for side in sides)


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.name)
def test_only_output_decides_what_json_prints(path: Path) -> None:
    assert not compares_output(path) or path.name in {"output.py", *NOT_YET}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_is_found_under_its_name(name: str) -> None:
    command = labctl.get_command(click.Context(labctl), name)
    assert command is not None
    assert command.name == name
    assert command.help


@pytest.mark.parametrize("name", ["cp", "exec", "console", "logs", "kubeconfig", "export"])
def test_a_command_on_a_lab_takes_the_options_of_all(name: str) -> None:
    command = labctl.get_command(click.Context(labctl), name)
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in commands:
        assert each is not None
        assert {"lab", "output"} <= {parameter.name for parameter in each.params}


def test_json_is_one_document_with_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.show(Stopped(("w1",)), "json", text=lambda result: []) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "labctl/stopped/v1", "lab": "k8s-lab", "stopped": ["w1"]}


def test_text_is_the_lines_of_the_result_and_the_exit_code_is_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code = output.show(Stopped(("w1",)), "text", text=lambda result: result.names, exit_code=ExitCode.VERIFY)
    assert (code, capsys.readouterr().out) == (6, "w1\n")


def test_a_dry_run_is_one_document_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.show_dry_run(["stop w1"], "json") == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "labctl/dry-run/v1", "would": ["stop w1"]}


def test_fields_are_aligned_and_lists_are_joined() -> None:
    assert output.fields(Stopped(("w1", "w2"))) == ["lab      k8s-lab", "stopped  w1, w2"]
