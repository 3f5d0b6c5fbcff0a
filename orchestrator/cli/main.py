"""The `labctl` command, and the one place where an exception becomes words and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator import __version__
from orchestrator.errors import ExitCode, LabError, Problem

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

MAX_LINES = 12

# Verb -> module that holds its click command, under the verb's own name or as `command`; a module is imported
# when its verb is used, so that `labctl --help` loads neither Ansible nor Docker.
COMMANDS: dict[str, tuple[str, str]] = {
    "provision": ("provision", "Build the lab, or bring it back to what lab.yml says, and prove it"),
    "plan": ("plan", "Show every decision and its reason; start nothing"),
    "verify": ("verify", "Prove the health of the lab, node by node"),
    "status": ("status", "Machines, nodes and versions at a glance"),
    "kubeconfig": ("kubeconfig", "Print the path of the lab's kubeconfig, or merge it into yours"),
    "kubectl": ("access", "Run kubectl on the lab"),
    "ssh": ("access", "Open a shell on a node, or run one command there"),
    "exec": ("exec", "Run one command on all nodes at once"),
    "cp": ("cp", "Copy files between this host and nodes"),
    "halt": ("power", "Stop the machines, keeping them"),
    "start": ("power", "Start the machines and wait until the lab is verified"),
    "scale": ("scale", "Add workers, or take the last ones out"),
    "snapshot": ("snapshot", "All machines as one point in time: save, list, restore, delete"),
    "upgrade": ("upgrade", "Bring the cluster to the next Kubernetes version, node by node"),
    "reset": ("reset", "Take the cluster off the machines, which stay"),
    "drill": ("drill", "Learn by breaking and repairing: list, start, hint, check, solve, reset"),
    "console": ("console", "All nodes side by side in tmux, typing in all of them at once"),
    "export": ("export", "The nodes for OpenSSH and for SuperPuTTY"),
    "logs": ("logs", "Pack a support archive without secrets"),
    "completion": ("completion", "Print the completion script for bash, zsh or fish"),
    "inventory": ("inventory", "Print the Ansible inventory of the lab"),
    "bundle": ("bundle", "Build, import, show and check the offline bundle"),
    "catalog": ("plan", "What can be combined, and what was tested"),
    "render": ("render", "Write Vagrantfile, inventory and plan; start nothing"),
    "box": ("box", "Vagrant boxes: list, import, build"),
    "doctor": ("doctor", "Is this host ready, and the fix for each problem"),
    "destroy": ("destroy", "Remove the lab and everything it made"),
}


class Verbs(click.Group):
    """A click group that imports a verb's module only when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"orchestrator.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name, None) or module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        # click would import every verb only to ask whether it is hidden: too slow for a key press.
        verbs = [CompletionItem(name, help=words) for name, (_, words) in COMMANDS.items()]
        return [item for item in verbs if item.value.startswith(incomplete)] or click.Command.shell_complete(
            self, ctx, incomplete
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean `labctl {near[0]}`?" if near else "`labctl --help` lists the commands"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="labctl")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.option("--offline", is_flag=True, help="Never look outside this host (same as LABCTL_OFFLINE=1).")
def labctl(debug: bool, offline: bool) -> None:
    """A real multi-node Kubernetes lab on this machine: built, proved, made to be broken and repaired."""
    if offline:
        os.environ["LABCTL_OFFLINE"] = "1"


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process with a code of errors.ExitCode."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(int(invoke(args)))


def invoke(args: list[str]) -> int:
    """Run one command line and return its exit code; whatever goes wrong is printed to stderr."""
    debug = "--debug" in args or bool(os.environ.get("LABCTL_DEBUG"))
    try:
        outcome: Any = labctl.main(args=args, prog_name="labctl", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted; what was begun can be continued: run the same command again")
        return ExitCode.INTERRUPTED
    except click.ClickException as problem:
        _say(problem.format_message())
        if isinstance(problem, click.UsageError) and problem.ctx is not None:
            _say(f"  fix: {problem.ctx.command_path} --help", prefix="")
        return ExitCode.USAGE
    except LabError as problem:
        if debug:
            traceback.print_exc()
        _say("\n".join(describe(problem)))
        return problem.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`labctl plan | head`), which is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as bug:
        if debug:
            traceback.print_exc()
        if isinstance(bug, OSError) and (words := _of_the_host(bug)):
            _say("\n".join(words))
            return ExitCode.HOST
        _say(f"this is a bug in labctl: {type(bug).__name__}: {bug}")
        _say("  fix: report it with the output of the same command and --debug", prefix="")
        return ExitCode.BUG
    return int(outcome) if isinstance(outcome, int) else ExitCode.OK


def _of_the_host(problem: OSError) -> list[str]:
    """What the host's file system refused, in words, with what helps; nothing when the failure is labctl's own."""
    file = str(problem.filename or "")
    place = file or "a file of the lab or of the cache"
    why = problem.strerror or str(problem)
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        where = file.rpartition("/")[0] or "."
        return [
            f"{place} cannot be written: {why}",
            f"  fix: free space (df -h {where} shows the disk), then run this again",
        ]
    if problem.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
        fix = f"make it writable (findmnt -T {place} shows its file system, ls -ld its owner), then run this again"
        return [f"{place} cannot be written: {why}", f"  fix: {fix}"]
    if "/.labctl/" in file and problem.errno in (errno.EEXIST, errno.ENOTDIR):
        return [f"{file} is in the way: it is no directory of labctl's", f"  fix: rm {file}"]
    if "/.labctl/" in file and problem.errno == errno.ENOENT:
        fix = "labctl provision   (or labctl destroy, which finds the machines by their labels)"
        return [f"{file} has vanished while labctl was at work", f"  fix: {fix}"]
    return []


def describe(problem: LabError) -> list[str]:
    """The lines that tell a person what failed, where, why, what fixes it, and where the log is: at most 12."""
    tail = [f"  fix: {problem.fix}"] if problem.fix else []
    tail += [f"  log: {problem.log}"] if problem.log else []
    head = problem.message.splitlines() or [type(problem).__name__]
    room = MAX_LINES - len(tail)
    listed = [line for each in problem.problems for line in _lines(each)]
    body = [*head, *listed]
    if len(body) > room:
        hidden = len(body) - room + 1
        body = [*body[: room - 1], f"  ... and {hidden} more lines: add --output json to see all"]
    return [*body, *tail]


def _lines(problem: Problem) -> list[str]:
    where = f"{problem.where}: " if problem.where else ""
    return [f"  {where}{problem.what}", *([f"      fix: {problem.fix}"] if problem.fix else [])]


def _say(text: str, prefix: str = "labctl: ") -> None:
    click.echo(f"{prefix}{text}", err=True)
