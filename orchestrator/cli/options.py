"""Options that many commands share, and how questions are asked and results printed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.spec import Override

Command = TypeVar("Command", bound=Callable[..., Any])


def lab_option(command: Command) -> Command:
    """--lab FILE: the lab.yml that describes the lab."""
    return click.option(
        "--lab",
        "lab",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The lab.yml to use (default: ./lab.yml; without a file, the defaults).",
    )(command)


def output_option(command: Command) -> Command:
    """--output text|json: what is printed on stdout."""
    return click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="json prints one document on stdout; progress goes to stderr.",
    )(command)


def progress_option(command: Command) -> Command:
    """--progress: how a running command shows what it does."""
    return click.option(
        "--progress",
        type=click.Choice(["auto", "plain", "jsonl", "none"]),
        default="auto",
        show_default=True,
        help="auto is a live view on a terminal and plain lines elsewhere.",
    )(command)


def yes_option(command: Command) -> Command:
    """--yes: do not ask."""
    return click.option("--yes", is_flag=True, help="Agree to everything that would be asked.")(command)


def dry_run_option(command: Command) -> Command:
    """--dry-run: say what would be done."""
    return click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")(command)


_OVERRIDES = {
    "provider": "provider",
    "workers": "workers.count",
    "kubernetes": "kubernetes.version",
    "profile": "profile",
}


def spec_options(command: Command) -> Command:
    """The options that override lab.yml: --provider, --workers, --kubernetes, --profile."""
    for option in (
        click.option("--profile", metavar="NAME", help="book, bare, modern or offline."),
        click.option("--kubernetes", metavar="VERSION", help="Kubernetes version, such as 1.20.2, or auto."),
        click.option("--workers", type=int, metavar="N", help="Number of workers; 0 is a single-node lab."),
        click.option("--provider", metavar="NAME", help="virtualbox, libvirt, container, static or auto."),
    ):
        command = option(command)
    return command


def overrides(**given: Any) -> tuple[Override, ...]:
    """The given ones of those options as overrides of the lab.yml fields they stand for."""
    return tuple(Override(_OVERRIDES[name], value, f"--{name}") for name, value in given.items() if value is not None)


def agreement(yes: bool) -> Callable[[str], bool]:
    """How a workflow asks: --yes agrees, a person at a terminal is asked, a program without --yes declines."""

    def agree(question: str) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return click.confirm(question, default=True, err=True)

    return agree


def complete_nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of a node: the names in the lab's saved plan, none when there is no lab."""
    base = (ctx.params.get("lab") or Path("lab.yml")).resolve().parent / ".labctl"
    names: set[str] = set()
    for file in base.glob("*/plan.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            names |= {node["name"] for node in json.loads(file.read_text(encoding="utf-8"))["nodes"]}
    return sorted(name for name in names if name.startswith(incomplete))


def preview(intent: Sequence[str], output: str) -> int:
    """Print what --dry-run found out; returns the exit code of a dry run."""
    if output == "json":
        print_json({"schema": "labctl/dry-run/v1", "would": list(intent)})
    else:
        click.echo("\n".join(["would:", *(f"  {line}" for line in intent), "Nothing was changed."]))
    return 0


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")
