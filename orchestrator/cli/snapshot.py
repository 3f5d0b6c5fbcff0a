"""`labctl snapshot save`, `list`, `restore` and `delete`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show, show_dry_run, show_verified, table
from orchestrator.cli.progress import show_progress

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab
    from orchestrator.verbs.snapshot import ListResult


def _complete_snapshots(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    base = (ctx.params.get("lab") or Path("lab.yml")).resolve().parent / ".labctl"
    return sorted(path.stem for path in base.glob("*/snapshots/*.json") if path.stem.startswith(incomplete))


existing_name = click.argument("name", shell_complete=_complete_snapshots)


@click.group()
def snapshot() -> None:
    """Save all machines, with their disks and volumes, as one point in time, and go back to it."""


@snapshot.command()
@click.argument("name")
@options.existing_lab
@options.preview_options
@options.progress_option
def save(name: str, lab: Lab, dry_run: bool, output: str, progress: str) -> int:
    """Save all machines as NAME; they pause for some seconds."""
    from orchestrator.verbs import snapshot as verb

    if dry_run:
        verb.check_new(lab, name)
        return show_dry_run([f"save {node.name} as {name}" for node in lab.plan.nodes], output)
    with show_progress(progress) as emit:
        done = verb.save(lab, name, emit)
    size = f", {_megabytes(done.snapshot.size)}" if done.snapshot.size else ""
    saved = f"saved {done.lab} as {name}: {len(lab.plan.nodes)} machines{size}"
    return show(done, output, lambda _: [saved, f"go back to it: labctl snapshot restore {name}"])


@snapshot.command("list")
@options.existing_lab
@options.output_option
def list_(lab: Lab, output: str) -> int:
    """List the snapshots of the lab, oldest first."""
    from orchestrator.verbs import snapshot as verb

    return show(verb.list_all(lab), output, _listing)


def _listing(result: ListResult) -> Iterator[str]:
    if not result.snapshots:
        yield f"{result.lab} has no snapshot; save one: labctl snapshot save NAME"
        return
    rows = [("snapshot", "saved", "machines", "cluster", "size")]
    for one in result.snapshots:
        size = _megabytes(one.size) if one.size else ""
        rows.append((one.name, one.time, str(len(one.plan.nodes)), one.kubernetes or "no cluster", size))
    yield from table(rows)


@snapshot.command()
@existing_name
@options.lab_option
@options.change_options
def restore(name: str, lab: Path | None, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Restore the lab to the moment when NAME was saved, and verify it; later changes are lost."""
    from orchestrator.lab.snapshots import find_snapshot
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import snapshot as verb

    opened = open_lab(lab)
    saved = find_snapshot(opened, name)
    if dry_run:
        return show_dry_run(verb.preview_restore(opened, saved), output)
    question = f"restore {opened.plan.name} to {saved.time}; later changes are lost?"
    options.require_agreement(yes, question, "not restored: what came after the snapshot is lost")
    spec = options.load_spec(lab)
    with show_progress(progress) as emit:
        done = verb.restore(opened, saved, emit, spec=spec)
    return show_verified(done, output, lambda _: [f"restored {opened.plan.name} to {saved.time}, {done.seconds:.0f} s"])


@snapshot.command()
@existing_name
@options.existing_lab
@options.change_options
def delete(name: str, lab: Lab, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Delete the snapshot NAME; the lab itself is not touched."""
    from orchestrator.lab.snapshots import find_snapshot
    from orchestrator.verbs import snapshot as verb

    saved = find_snapshot(lab, name)
    step = f"delete the snapshot {name} of {saved.time}"
    if dry_run:
        return show_dry_run([step], output)
    options.require_agreement(yes, f"{step}?", "not deleted: a deleted snapshot cannot be brought back")
    with show_progress(progress) as emit:
        done = verb.delete(lab, saved, emit)
    return show(done, output, lambda _: [f"deleted the snapshot {name}"])


def _megabytes(size: int) -> str:
    return f"{size // 2**20} MB"
