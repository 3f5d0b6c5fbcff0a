"""`labctl init`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run

if TYPE_CHECKING:
    from orchestrator.verbs.init import Written


@click.command()
@click.option("--lab", type=click.Path(path_type=Path, dir_okay=False), default="lab.yml", show_default=True)
@click.option("--name", metavar="NAME", help="Name of the lab.")
@click.option("--profile", metavar="NAME", help="book, book-2, bare, modern, teaching or offline.")
@click.option("--workers", type=int, metavar="N", help="Number of workers; 0 is a single-node lab.")
@click.option("--kubernetes", metavar="VERSION", help="Kubernetes version, such as 1.37, or auto.")
@click.option("--provider", metavar="NAME", help="virtualbox, libvirt, container, static or auto.")
@click.option("--yes", is_flag=True, help="Ask nothing: take the defaults of what no option says.")
@options.preview_options
def init(lab: Path, yes: bool, dry_run: bool, output: str, **given: Any) -> int:
    """Write a lab.yml with every key explained, after five questions."""
    from orchestrator.verbs import init as verb

    # Before anything is asked.
    verb.refuse_existing(lab)
    chosen = _ask(given) if not yes else given
    fields = {_FIELDS[name]: value for name, value in chosen.items()}
    if dry_run:
        return show_dry_run([f"write {lab}:", *verb.render(fields).splitlines()], output)
    return show(verb.init(fields, lab), output, _text)


_FIELDS = {
    "name": "name",
    "profile": "profile",
    "workers": "workers.count",
    "kubernetes": "kubernetes.version",
    "provider": "provider",
}


def _ask(given: dict[str, Any]) -> dict[str, Any]:
    """The given options, and the answers to questions about the others."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("`labctl init` asks, and nobody is here to answer; add --yes for the defaults")
    from orchestrator import spec
    from orchestrator.model import ProviderName

    def question(name: str, text: str, default: Any, choices: list[str] | None = None) -> None:
        if chosen.get(name) is None:
            kind = click.Choice(choices) if choices else None
            answer = click.prompt(text, default=default, type=kind, err=True)
            chosen[name] = answer if answer != default else None

    chosen = dict(given)
    for profile in spec.profiles().values():
        click.echo(f"  {profile.name:<10}{profile.description}", err=True)
    question("profile", "What kind of lab", "modern", list(spec.profiles()))
    question("workers", "How many workers", 3)
    if chosen["profile"] not in ("bare", "book", "book-2"):
        question("kubernetes", "Which Kubernetes version", "auto")
    question("provider", "What makes the machines", "auto", ["auto", *get_args(ProviderName)])
    question("name", "Name of the lab", "k8s-lab")
    return chosen


def _text(written: Written) -> Iterator[str]:
    yield f"wrote {written.file}"
    yield "see what becomes of it: labctl plan      make it: labctl provision"
