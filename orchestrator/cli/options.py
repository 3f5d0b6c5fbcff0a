"""Options that many commands share: one at a time, and composed for commands that read or change a lab."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import click

from orchestrator.cli.output import print_json as print_json
from orchestrator.cli.output import show_dry_run

if TYPE_CHECKING:
    from orchestrator.lab.package_source import Confirmation
    from orchestrator.lab.state import Lab
    from orchestrator.lab.windows import WindowsFolder
    from orchestrator.spec import Override, Spec

Command = TypeVar("Command", bound=Callable[..., Any])


class Decorator(Protocol):
    """Adds options to a command."""

    def __call__(self, command: Command, /) -> Command: ...


lab_option = click.option(
    "--lab",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The lab.yml to use (default: ./lab.yml; without a file, the defaults).",
)
output_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json prints one document on stdout; progress goes to stderr.",
)
progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "jsonl", "none"]),
    default="auto",
    show_default=True,
    help="auto is a live view on a terminal and plain lines elsewhere.",
)
yes_option = click.option("--yes", is_flag=True, help="Answer yes to every question.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")


def _sums(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """NAME=SHA256, as often as given. Raises BadParameter for anything else."""
    pairs = [value.rpartition("=") for value in values]
    for name, _sign, digest in pairs:
        if not name or not re.fullmatch("[0-9a-f]{64}", digest):
            raise click.BadParameter("write NAME=SHA256, as the message that asks for it does")
    return {name: digest for name, _sign, digest in pairs}


accept_option = click.option(
    "--accept",
    multiple=True,
    metavar="NAME=SHA256",
    callback=_sums,
    help="Confirm a checksum that nobody has confirmed, or one that changed. --yes does not.",
)

# Option -> the lab.yml field that it overrides.
_OVERRIDES = {
    "provider": "provider",
    "workers": "workers.count",
    "kubernetes": "kubernetes.version",
    "profile": "profile",
    "packages": "packages.source",
}
_SPEC_OPTIONS = (
    click.option("--provider", metavar="NAME", help="virtualbox, libvirt, container, static or auto."),
    click.option("--workers", type=int, metavar="N", help="Number of workers; 0 is a single-node lab."),
    click.option("--kubernetes", metavar="VERSION", help="Kubernetes version, such as 1.20.2, or auto."),
    click.option("--profile", metavar="NAME", help="book, book-2, bare, modern, teaching or offline."),
    click.option("--packages", metavar="SOURCE", help="auto, bundle, community, mirror, modules or debian."),
)


def compose(*decorators: Decorator) -> Decorator:
    """One decorator of several, applied as if they stood one above the other."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def existing_lab(command: Command) -> Command:
    """--lab FILE, handed to the command as the opened lab."""

    @functools.wraps(command)
    def with_lab(*args: Any, lab: Path | None, **others: Any) -> Any:
        from orchestrator.lab.state import open_lab

        return command(*args, lab=open_lab(lab), **others)

    return cast("Command", lab_option(with_lab))


def lab_spec(command: Command) -> Command:
    """--lab and the options that override lab.yml, handed to the command as the loaded `spec`."""

    @functools.wraps(command)
    def with_spec(*args: Any, lab: Path | None, **others: Any) -> Any:
        overridden = {name: others.pop(name) for name in _OVERRIDES}
        return command(*args, spec=load_spec(lab, **overridden), **others)

    return cast("Command", compose(lab_option, *_SPEC_OPTIONS)(with_spec))


spec_options = compose(*_SPEC_OPTIONS)
preview_options = compose(dry_run_option, output_option)
change_options = compose(yes_option, dry_run_option, output_option, progress_option)
PASS_THROUGH: dict[str, Any] = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def load_spec(lab: Path | None, **overridden: Any) -> Spec:
    """The Spec of a lab.yml with the values that options override."""
    from orchestrator.lab import planning

    return planning.load(lab, overrides(**overridden))


def overrides(**values: Any) -> tuple[Override, ...]:
    """The options that were given, as overrides of the lab.yml fields that they name."""
    from orchestrator.spec import Override

    return tuple(Override(_OVERRIDES[name], value, f"--{name}") for name, value in values.items() if value is not None)


def agreement(yes: bool) -> Callable[[str], bool]:
    """The function that answers a verb's questions: yes with --yes, the user at a terminal, no otherwise."""

    def agree(question: str) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return click.confirm(question, default=True, err=True)

    return agree


def confirmation(accepted: Mapping[str, str]) -> Confirmation:
    """The sums of --accept, and the user at a terminal for others; --yes answers none of these questions."""
    from orchestrator.lab.package_source import Confirmation

    return Confirmation(accepted, agreement(yes=False))


def require_agreement(yes: bool, question: str, refusal: str) -> None:
    """Ask for what cannot be undone. Raises UsageError, with what is lost, when the user does not agree."""
    if not agreement(yes)(question):
        raise click.UsageError(f"{refusal}, which needs your agreement; add --yes")


def complete_nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of a node: the names in the lab's saved plan, none when there is no lab."""
    base = (ctx.params.get("lab") or Path("lab.yml")).resolve().parent / ".labctl"
    names: set[str] = set()
    for file in base.glob("*/plan.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            names |= {node["name"] for node in json.loads(file.read_text(encoding="utf-8"))["nodes"]}
    return sorted(name for name in names if name.startswith(incomplete))


windows_options = compose(
    click.option(
        "--for",
        "system",
        type=click.Choice(["linux", "windows"]),
        default="linux",
        show_default=True,
        help="windows: paths, line ends and keys of Windows.",
    ),
    click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="The directory to write to."),
    click.option(
        "--windows-folder",
        metavar="FOLDER",
        help="Where the files will lie in Windows; by default that of --to on a drive of Windows, else in C:\\labctl.",
    ),
)


def windows_folder(lab: Lab, system: str, to: Path | None, there: str | None) -> WindowsFolder | None:
    """The folder of files for Windows, None for this system. Raises UsageError for an option of Windows alone."""
    if system == "windows":
        from orchestrator.lab.windows import folder_of

        return folder_of(lab.plan.name, to, there)
    if there:
        raise click.UsageError("--windows-folder goes with --for windows")
    return None


node_pattern = click.option(
    "--on",
    "pattern",
    default="all",
    metavar="PATTERN",
    shell_complete=complete_nodes,
    help="Nodes: names, patterns such as w1*, workers, all; several with commas.",
)

# For commands that do not print through `output.show` yet.
preview = show_dry_run
