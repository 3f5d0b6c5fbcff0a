"""`labctl snapshot save`, `list`, `restore` and `delete`."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of a snapshot: the names in the lab's state."""
    base = (ctx.params.get("lab") or Path("lab.yml")).resolve().parent / ".labctl"
    return sorted(path.stem for path in base.glob("*/snapshots/*.json") if path.stem.startswith(incomplete))


@click.group()
def snapshot() -> None:
    """Keep all machines as they are at one moment, with their disks and volumes, and go back to it."""


@snapshot.command()
@click.argument("name")
@options.lab_option
@options.dry_run_option
@options.output_option
@options.progress_option
def save(name: str, lab: Path | None, dry_run: bool, output: str, progress: str) -> int:
    """Save all machines as NAME; they stand still for some seconds."""
    from orchestrator.cli import progress as views
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import snapshot as snapshots

    found = open_lab(lab)
    if dry_run:
        snapshots.check_new(found, name)
        return options.preview([f"save {node.name} as {name}" for node in found.plan.nodes], output)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        made = snapshots.save(found, name, emit)
    if output == "json":
        options.print_json({"schema": "labctl/snapshot-save/v1", "lab": found.plan.name, "snapshot": made.as_dict()})
    else:
        taken = f", {made.size // 2**20} MB" if made.size else ""
        click.echo(f"saved {found.plan.name} as {name}: {len(made.plan.nodes)} machines{taken}")
        click.echo(f"go back to it: labctl snapshot restore {name}")
    return ExitCode.OK


@snapshot.command("list")
@options.lab_option
@options.output_option
def list_(lab: Path | None, output: str) -> int:
    """The snapshots of the lab, oldest first."""
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import snapshot as snapshots

    found = open_lab(lab)
    there = snapshots.known(found.directory)
    if output == "json":
        listed = [each.as_dict() for each in there]
        options.print_json({"schema": "labctl/snapshot-list/v1", "lab": found.plan.name, "snapshots": listed})
    elif not there:
        click.echo(f"{found.plan.name} has no snapshot; make one: labctl snapshot save NAME")
    else:
        width = max(len(each.name) for each in there)
        for each in there:
            cluster = each.plan.kubernetes.version if each.plan.kubernetes and each.cluster else "no cluster"
            taken = f"{each.size // 2**20} MB" if each.size else ""
            click.echo(
                f"{each.name:{width}}  {each.time}  {len(each.plan.nodes)} machines  {cluster}  {taken}".rstrip()
            )
    return ExitCode.OK


@snapshot.command()
@click.argument("name", shell_complete=_complete)
@options.lab_option
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def restore(name: str, lab: Path | None, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Make the lab what it was when NAME was saved, and prove it; what came later is lost."""
    from orchestrator.cli import progress as views
    from orchestrator.lab import planning
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import snapshot as snapshots
    from orchestrator.verify.render import render_text

    found = open_lab(lab)
    chosen = snapshots.find(found, name)
    if dry_run:
        return options.preview(snapshots.lines_of_restore(found, chosen), output)
    if not options.agreement(yes)(f"bring {found.plan.name} back to {chosen.time}; what came later is lost?"):
        raise click.UsageError(
            "not restored: what came after the snapshot is lost, which needs your agreement; add --yes"
        )
    asked = planning.load(lab)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        done = snapshots.restore(found, chosen, emit, asked=asked)
    if output == "json":
        options.print_json(done.as_dict())
    else:
        if done.report:
            click.echo(render_text(done.report))
        click.echo(f"\n{found.plan.name} is what it was at {chosen.time}, {done.seconds:.0f} s")
    return ExitCode.VERIFY if done.report and not done.report.ok else ExitCode.OK


@snapshot.command()
@click.argument("name", shell_complete=_complete)
@options.lab_option
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def delete(name: str, lab: Path | None, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Delete the snapshot NAME; the lab itself is not touched."""
    from orchestrator.cli import progress as views
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs import snapshot as snapshots

    found = open_lab(lab)
    chosen = snapshots.find(found, name)
    if dry_run:
        return options.preview([f"delete the snapshot {name} of {chosen.time}"], output)
    if not options.agreement(yes)(f"delete the snapshot {name} of {chosen.time}?"):
        raise click.UsageError(
            "not deleted: a deleted snapshot cannot be had back, which needs your agreement; add --yes"
        )
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        snapshots.delete(found, chosen, emit)
    if output == "json":
        options.print_json({"schema": "labctl/snapshot-delete/v1", "lab": found.plan.name, "deleted": name})
    else:
        click.echo(f"deleted the snapshot {name}")
    return ExitCode.OK
