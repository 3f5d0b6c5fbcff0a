"""`labctl provision`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.cli.output import show_dry_run, show_verified
from orchestrator.cli.progress import show_progress

if TYPE_CHECKING:
    from orchestrator.lab.convergence import ConvergeResult
    from orchestrator.spec import Spec


def _complete_phases(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from orchestrator.lab.phases import PHASES

    return [name for name in PHASES if name.startswith(incomplete)]


def _phase_option(option: str, name: str, default: str, text: str) -> options.Decorator:
    return click.option(option, name, default=default, metavar="PHASE", shell_complete=_complete_phases, help=text)


@click.command()
@options.lab_spec
@_phase_option("--from", "first", "machines", "Begin with this phase.")
@_phase_option("--until", "last", "verify", "Stop after this phase.")
@click.option("--no-bake", is_flag=True, help="Set up every machine from nothing instead of cloning a prepared one.")
@click.option("--full", is_flag=True, help="Run every role, also where nothing differs.")
@click.option(
    "--timeline", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw the run into an SVG file."
)
@options.accept_option
@options.change_options
def provision(
    spec: Spec,
    first: str,
    last: str,
    no_bake: bool,
    full: bool,
    timeline: Path | None,
    accept: Mapping[str, str],
    yes: bool,
    dry_run: bool,
    output: str,
    progress: str,
) -> int:
    """Create the lab, or converge it to lab.yml, and verify it.

    The phases are machines, prepare, runtime, control_plane, workers, network, kubeconfig and verify.
    """
    from orchestrator.lab.convergence import Shortcuts
    from orchestrator.lab.phases import PhaseRange
    from orchestrator.timeline import drawn
    from orchestrator.verbs import provision as verb

    phases = PhaseRange(first, last)
    if dry_run:
        return show_dry_run(verb.preview(spec, phases), output)
    with show_progress(progress) as shown, drawn(shown, timeline) as emit:
        agree, sums = options.agreement(yes), options.confirmation(accept)
        shortcuts = Shortcuts(bake=not no_bake, unchanged=not full)
        done = verb.provision(spec, agree=agree, emit=emit, phases=phases, sums=sums, shortcuts=shortcuts)
    return show_verified(done, output, _text)


def _text(done: ConvergeResult) -> Iterator[str]:
    plan = done.lab.plan
    minutes, seconds = divmod(int(done.seconds), 60)
    changed = sum(done.changed.values())
    yield f"{plan.name}: {len(plan.nodes)} machines, {changed} tasks changed, {minutes} min {seconds} s"
    if remaining := done.phases.remaining:
        yield f"stopped after {done.phases.last}, as requested; still to come: {', '.join(remaining)}"
        yield "continue: labctl provision"
    elif done.ok:
        yield "next:"
        if plan.kubernetes is not None:
            yield "  ./labctl kubectl -- get nodes -o wide"
            yield '  export KUBECONFIG="$(./labctl kubeconfig)"'
        yield f"  ./labctl ssh {plan.nodes[-1].name}"
