"""The `labctl` command, and the one place where an exception becomes a message and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator import operating_system
from orchestrator.errors import ExitCode, HostError, LabError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

MAX_LINES = 12

# Every command and its line in `labctl --help`. The command is in the module of its name and imported when it is used:
# `labctl --help` loads neither Ansible nor Docker.
COMMANDS: dict[str, str] = {
    "init": "Write a lab.yml with every key explained",
    "tutorial": "Ten minutes from the plan to your first solved drill",
    "provision": "Create the lab, or converge it to lab.yml, and verify it",
    "plan": "Show every decision and its reason; start nothing",
    "verify": "Check the health of the lab, node by node",
    "status": "Show machines, nodes and versions",
    "list": "Show every lab on this host",
    "kubeconfig": "Print the path of the lab's kubeconfig, or merge it into yours",
    "kubectl": "Run kubectl on the lab",
    "watch": "Watch the steps of a pod's life as they happen",
    "ssh": "Open a shell on a node, or run one command there",
    "exec": "Run one command on all nodes at once",
    "cp": "Copy files between this host and nodes",
    "halt": "Stop the machines and keep them",
    "start": "Start the machines and wait until the lab is verified",
    "scale": "Add workers, or remove the last ones",
    "snapshot": "Save, list, restore and delete snapshots of all machines",
    "conformance": "Run the conformance suite of the lab's own version",
    "upgrade": "Upgrade the cluster to the next Kubernetes version, node by node",
    "reset": "Remove the cluster and keep the machines",
    "drill": "Learn by breaking and repairing: list, start, hint, check, solve, reset",
    "console": "Open all nodes side by side in tmux and type in all of them at once",
    "export": "Export the nodes for OpenSSH and for SuperPuTTY",
    "logs": "Collect a support archive without secrets",
    "completion": "Print the completion script for bash, zsh, fish or PowerShell",
    "inventory": "Print the Ansible inventory of the lab",
    "packages": "Install packages of the bundle on the nodes, at any time",
    "image": "Push your own images into the lab's registry, list, pull and remove them",
    "bundle": "Make, export, import, sign and verify bundles",
    "cache": "Show and prune what is kept between labs",
    "catalog": "Show what can be combined, and what was tested",
    "render": "Write Vagrantfile, inventory and plan; start nothing",
    "box": "List, import and build Vagrant boxes",
    "doctor": "Check whether this host is ready, with the fix for each problem",
    "destroy": "Remove the lab and everything it created",
}


class LazyGroup(click.Group):
    """A click group that imports the module of a command only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"orchestrator.cli.{name}")
        command: click.Command = getattr(module, name, None) or module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        # click would import every command only to ask whether it is hidden: too slow for a key press.
        items = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return items or click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean `labctl {near[0]}`?" if near else "`labctl --help` lists the commands"
            raise click.UsageError(f"unknown command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="kubeadm-lab", prog_name="labctl")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.option("--offline", is_flag=True, help="Never look outside this host (same as LABCTL_OFFLINE=1).")
@click.pass_context
def labctl(ctx: click.Context, debug: bool, offline: bool) -> None:
    """A real multi-node Kubernetes lab on this machine: create it, verify it, break and repair it."""
    if offline:
        os.environ["LABCTL_OFFLINE"] = "1"
    if ctx.invoked_subcommand is None:
        from orchestrator.cli.output import table
        from orchestrator.verbs.next_steps import next_steps

        found = next_steps()
        commands = table([*found.commands, ("labctl --help", "list every command")])
        click.echo("\n".join([found.state, *(f"  {line}" for line in commands)]))


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process with a code of errors.ExitCode."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(int(invoke(args)))


def invoke(args: list[str]) -> int:
    """Run one command line and return its exit code; every failure is printed on stderr."""
    debug = "--debug" in args or bool(os.environ.get("LABCTL_DEBUG"))
    if operating_system.current().name == "Windows":
        why = "labctl does not run on Windows itself: Ansible does not"
        return _fail(why, "  fix: run it in WSL2: docs/how-to/windows.md", code=ExitCode.HOST)
    if os.environ.get("_LABCTL_COMPLETE", "").startswith("powershell"):
        importlib.import_module("orchestrator.cli.completion")  # click knows its own shells only
    try:
        outcome: Any = labctl.main(args=args, prog_name="labctl", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; run the same command again to continue", code=ExitCode.INTERRUPTED)
    except click.ClickException as problem:
        usage = problem.ctx if isinstance(problem, click.UsageError) else None
        fix = [f"  fix: {usage.command_path} --help"] if usage else []
        return _fail(problem.format_message(), *fix, code=ExitCode.USAGE)
    except BrokenPipeError:
        # The reader of the output ended (`labctl plan | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as problem:
        if debug:
            traceback.print_exc()
        error = _host_error(problem) if isinstance(problem, OSError) else problem
        if isinstance(error, LabError):
            return _fail(*describe(error), code=error.exit_code)
        report = "  fix: report it with the output of the same command and --debug"
        return _fail(f"this is a bug in labctl: {type(problem).__name__}: {problem}", report, code=ExitCode.BUG)
    return int(outcome) if isinstance(outcome, int) else ExitCode.OK


def _fail(*lines: str, code: ExitCode) -> int:
    click.echo("labctl: " + "\n".join(lines), err=True)
    return code


def _host_error(problem: OSError) -> HostError | None:
    """What the host's file system refused, with the fix; None when the failure is labctl's own."""
    file = str(problem.filename or "")
    place = file or "a file of the lab or of the cache"
    refused = f"{place} cannot be written: {problem.strerror or problem}"
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        disk = file.rpartition("/")[0] or "."
        return HostError(refused, fix=f"free space (df -h {disk} shows the disk), then run this again")
    if problem.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
        look = f"findmnt -T {place} shows its file system, ls -ld {place} its owner"
        return HostError(refused, fix=f"make it writable ({look}), then run this again")
    if "/.labctl/" in file and problem.errno in (errno.EEXIST, errno.ENOTDIR):
        return HostError(f"{file} is in the way: labctl needs a directory there", fix=f"rm {file}")
    if "/.labctl/" in file and problem.errno == errno.ENOENT:
        fix = "labctl provision   (or labctl destroy, which finds the machines by their labels)"
        return HostError(f"{file} was removed while labctl was running", fix=fix)
    return None


def describe(error: LabError) -> list[str]:
    """What failed, where, why, the fix and the log, in at most 12 lines."""
    tail = [f"  fix: {error.fix}"] if error.fix else []
    tail += [f"  log: {error.log}"] if error.log else []
    lines = error.message.splitlines() or [type(error).__name__]
    for problem in error.problems:
        lines.append(f"  {problem.where}: {problem.what}" if problem.where else f"  {problem.what}")
        lines += [f"      fix: {problem.fix}"] if problem.fix else []
    room = MAX_LINES - len(tail)
    if len(lines) > room:
        hidden = len(lines) - room + 1
        lines = [*lines[: room - 1], f"  ... and {hidden} more lines; fix these first"]
    return [*lines, *tail]
