"""`labctl logs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show
from orchestrator.cli.progress import show_progress

if TYPE_CHECKING:
    from orchestrator.lab.state import Lab


@click.command()
@options.existing_lab
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), help="The archive; default: NAME-logs-TIME.tar.gz."
)
@options.output_option
@options.progress_option
def logs(lab: Lab, to: Path | None, output: str, progress: str) -> int:
    """Collect the logs of the lab's machines, cluster and runs in an archive without secrets."""
    from orchestrator.verbs.logs.archive import SupportArchive, pack_logs

    def lines(packed: SupportArchive) -> list[str]:
        return [f"{packed.archive}: {len(packed.files)} files, secrets replaced; check it before you send it"]

    with show_progress(progress) as emit:
        packed = pack_logs(lab, to, emit)
    return show(packed, output, text=lines)
