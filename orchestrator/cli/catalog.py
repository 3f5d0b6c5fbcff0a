"""`labctl catalog`."""

from __future__ import annotations

import click

from orchestrator.cli import options
from orchestrator.cli.output import show


@click.command()
@options.output_option
def catalog(output: str) -> int:
    """Show what can be combined, and what of it was executed, rendered or only read up."""
    from orchestrator.verbs import catalog as verb

    return show(verb.catalog(), output, lambda result: [result.page])
