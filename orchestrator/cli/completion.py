"""`labctl completion`."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, get_completion_class

SHELLS = ("bash", "zsh", "fish", "powershell")


@add_completion_class
class PowerShellComplete(ShellComplete):
    """Completion for PowerShell, which hands over the words before the cursor a line each, and the one at it."""

    name = "powershell"
    # Nothing printed for files: PowerShell then offers files by itself. An empty variable is one that is not set there.
    source_template = """\
# Completion of %(prog_name)s for PowerShell 5.1 and 7. UNTESTED: written by the rules of Register-ArgumentCompleter.
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $before = $commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition }
    $env:%(complete_var)s = 'powershell_complete'
    $env:COMP_WORDS = @($before | ForEach-Object { $_.Extent.Text }) -join "`n"
    $env:COMP_CWORD = $wordToComplete
    try {
        & %(prog_name)s | ForEach-Object {
            $type, $value, $help = $_ -split "`t", 3
            if ($type -eq 'plain' -and $value) {
                $tip = if ($help) { $help } else { $value }
                [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $tip)
            }
        }
    } finally {
        Remove-Item Env:%(complete_var)s, Env:COMP_WORDS, Env:COMP_CWORD -ErrorAction SilentlyContinue
    }
}
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words after the command's own name, and the incomplete one."""
        return os.environ.get("COMP_WORDS", "").split("\n")[1:], os.environ.get("COMP_CWORD", "")

    def format_completion(self, item: CompletionItem) -> str:
        """Type, value and help between tabs."""
        return "\t".join((item.type, str(item.value), " ".join((item.help or "").split())))


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script: eval "$(labctl completion bash)".

    In PowerShell: labctl completion powershell | Out-String | Invoke-Expression
    """
    from orchestrator.cli.main import labctl

    generator = get_completion_class(shell)
    assert generator is not None
    made = generator(labctl, {}, "labctl", "_LABCTL_COMPLETE")
    # Not source(): that starts the shell to ask for its version, and this text is the same for all of them.
    click.echo(made.source_template % made.source_vars())
