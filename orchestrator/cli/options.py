"""Options that many commands share, and how a result is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

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


def spec_options(command: Command) -> Command:
    """The options that override lab.yml: --provider, --workers, --kubernetes, --profile."""
    for option in (
        click.option("--kubernetes", metavar="VERSION", help="Kubernetes version, such as 1.20.2, or auto."),
        click.option("--workers", type=int, metavar="N", help="Number of workers; 0 is a single-node lab."),
        click.option("--provider", metavar="NAME", help="virtualbox, libvirt, container, static or auto."),
        click.option("--profile", metavar="NAME", help="book, bare, modern or offline."),
    ):
        command = option(command)
    return command


def overrides(
    provider: str | None, workers: int | None, kubernetes: str | None, profile: str | None
) -> dict[str, Any]:
    """The given ones of those options, by the field of lab.yml that each overrides."""
    given = {
        "provider": provider,
        "workers.count": workers,
        "kubernetes.version": kubernetes,
        "profile": profile,
    }
    return {field: value for field, value in given.items() if value is not None}


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")
