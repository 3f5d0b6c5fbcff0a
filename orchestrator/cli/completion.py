"""`labctl completion`."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script: eval "$(labctl completion bash)"."""
    from click.shell_completion import get_completion_class

    from orchestrator.cli.main import labctl

    generator = get_completion_class(shell)
    assert generator is not None
    made = generator(labctl, {}, "labctl", "_LABCTL_COMPLETE")
    # Not source(): that starts the shell to ask for its version, and this text is the same for all of them.
    click.echo(made.source_template % made.source_vars())
