"""`labctl bundle`: the offline bundle."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode


@click.group()
def bundle() -> None:
    """Build, import, show and check the offline bundle."""


@bundle.command()
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def build(yes: bool, dry_run: bool, output: str, progress: str) -> None:
    """Build the bundle of Kubernetes 1.20.2 from Debian's source package; seconds when it is built already."""
    from orchestrator.cli import progress as views
    from orchestrator.verbs import bundle as bundles

    if dry_run:
        _print(bundles.intent(), output, "labctl/dry-run/v1")
        return
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        built = bundles.build(agree=options.agreement(yes), emit=emit)
    _print(bundles.describe(built), output)


@bundle.command(name="import")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@options.dry_run_option
@options.output_option
@options.progress_option
def import_(source: Path, dry_run: bool, output: str, progress: str) -> None:
    """Take in the bundle in SOURCE, a directory or a tar archive with a manifest, after checking every file."""
    from orchestrator.cli import progress as views
    from orchestrator.verbs import bundle as bundles

    if dry_run:
        options.preview(bundles.import_intent(source), output)
        return
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        taken = bundles.take_in(source, emit)
    _print(bundles.describe(taken), output)


@bundle.command()
@options.output_option
def info(output: str) -> None:
    """Show the bundles of the cache: version, images, size."""
    from orchestrator.verbs import bundle as bundles

    found = bundles.listed()
    if output == "json":
        options.print_json({"schema": "labctl/bundles/v1", "bundles": [bundles.describe(one) for one in found]})
    elif not found:
        click.echo("no bundle in the cache; labctl bundle build makes one")
    for one in found if output == "text" else ():
        _print(bundles.describe(one), output)


@bundle.command()
@click.argument("bundle_id", required=False)
@options.output_option
def verify(bundle_id: str | None, output: str) -> int:
    """Compare every file of a bundle (default: of all) with its manifest."""
    from orchestrator.verbs import bundle as bundles

    problems = bundles.check(bundle_id)
    if output == "json":
        options.print_json(
            {"schema": "labctl/bundle-verify/v1", "problems": [{"file": p.where, "what": p.what} for p in problems]}
        )
    else:
        click.echo("\n".join(str(problem) for problem in problems) or "every file is as its manifest says")
    return ExitCode.HOST if problems else ExitCode.OK


def _print(described: dict[str, object], output: str, schema: str = "labctl/bundle-info/v1") -> None:
    if output == "json":
        options.print_json({"schema": schema, **described})
        return
    for key, value in described.items():
        words = ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
        click.echo(f"{key:<12} {words}")
