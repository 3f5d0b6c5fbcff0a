"""`labctl doctor`: is this host ready, and the fix for each problem."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import options
from orchestrator.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.verbs.doctor import Diagnosis

FORMS = ("html", "junit")
_WORDS = {
    "failed": "FAILED",
    "error": "NO ANSWER",
    "warning": "WARNING",
    "ok": "ok",
    "not_applicable": "not applicable",
}


@click.command()
@options.lab_option
@options.spec_options
@click.option("--fix", is_flag=True, help="Install missing packages and remove stale files, after asking.")
@click.option("--report", "reports", multiple=True, metavar="FORM=FILE", help="Write html=FILE or junit=FILE too.")
@options.yes_option
@options.output_option
def doctor(
    lab: Path | None,
    profile: str | None,
    kubernetes: str | None,
    workers: int | None,
    provider: str | None,
    fix: bool,
    reports: tuple[str, ...],
    yes: bool,
    output: str,
) -> int:
    """Look at this host: what a lab needs, what is there, and the exact fix for each problem. Exit 0 or 3."""
    from orchestrator.lab import planning as plans
    from orchestrator.verbs import doctor as workflow

    files = _report_files(reports)
    given = options.overrides(provider=provider, workers=workers, kubernetes=kubernetes, profile=profile)
    asked = plans.load(lab, given)
    diagnosis = workflow.diagnose(asked)
    if fix and workflow.repair(diagnosis, options.agreement(yes)):
        diagnosis = workflow.diagnose(asked)
    for form, file in files:
        _write(form, file, diagnosis)
    if output == "json":
        options.print_json(diagnosis.as_dict())
    else:
        click.echo(render(diagnosis))
    return ExitCode.OK if diagnosis.ok else ExitCode.HOST


def _report_files(reports: tuple[str, ...]) -> list[tuple[str, Path]]:
    """The reports asked for, refused before anything runs when one cannot be written."""
    found = []
    for given in reports:
        form, equals, name = given.partition("=")
        if form not in FORMS or not equals or not name:
            raise click.UsageError(f"--report {given}: use html=FILE or junit=FILE")
        file = Path(name)
        if not file.resolve().parent.is_dir() or file.is_dir():
            raise click.UsageError(f"--report {given}: {file} cannot be written")
        found.append((form, file))
    return found


def _write(form: str, file: Path, diagnosis: Diagnosis) -> None:
    from orchestrator.verify import html, junit

    report = diagnosis.as_report()
    file.write_text(html.render_html(report) if form == "html" else junit.render_junit(report), encoding="utf-8")


def render(diagnosis: Diagnosis) -> str:
    """What is wrong first, with the fix; then every check in a line."""
    lines = []
    for status in ("failed", "error", "warning"):
        for result in diagnosis.results:
            if result.status == status:
                lines.append(f"{_WORDS[status]} {result.title}: {result.found}  [{result.id}]")
                lines += [f"    required: {result.required}"] if result.required else []
                lines += [f"    fix: {result.fix}"] if result.fix else []
    if lines:
        lines.append("")
    width = max(len(result.title) for result in diagnosis.results)
    for result in diagnosis.results:
        if result.status in ("ok", "not_applicable"):
            lines.append(f"{_WORDS[result.status]:<15} {result.title:<{width}}  {result.found}")
    bad = [result for result in diagnosis.results if result.status in ("failed", "error")]
    warned = [result for result in diagnosis.results if result.status == "warning"]
    verdict = "this host is ready" if diagnosis.ok else f"this host is NOT ready: {len(bad)} to put right"
    tail = f", {len(warned)} warning{'s' if len(warned) != 1 else ''}" if warned else ""
    lines += ["", f"{verdict}{tail} ({len(diagnosis.results)} checks in {diagnosis.seconds:.1f} s)"]
    return "\n".join(lines)
