"""`labctl drill`: learn by breaking the lab and repairing it."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from orchestrator.cli import drill_views, options
from orchestrator.cli.output import is_text, show, show_dry_run
from orchestrator.cli.progress import show_progress
from orchestrator.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.cli.options import Command
    from orchestrator.drills.messages import Wording
    from orchestrator.lab.state import Lab

_path_option = click.option(
    "--path", "given", type=click.Path(path_type=Path), metavar="DIRECTORY", help="Drills of your own, too."
)
_lang_option = click.option(
    "--lang", type=click.Choice(["en", "ko"]), help="Language; the default is that of the locale."
)


def _session(command: Command) -> Command:
    """--lab, --path and --lang, handed to the command as the opened lab, the directory and the wording."""

    @functools.wraps(command)
    def with_wording(*args: Any, lab: Lab, lang: str | None, **others: Any) -> Any:
        return command(*args, lab=lab, wording=_wording(lang, lab), **others)

    return cast("Command", options.compose(options.existing_lab, _path_option, _lang_option)(with_wording))


def _wording(lang: str | None, lab: Lab | None) -> Wording:
    from orchestrator.drills.catalog import lab_names
    from orchestrator.drills.messages import Wording, choose_language

    return Wording(choose_language(lang), lab_names(lab.plan) if lab else {})


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from orchestrator import paths

    return sorted(path.name for path in paths.data("drills").iterdir() if path.name.startswith(incomplete))


@click.group()
def drill() -> None:
    """Learn by breaking and repairing: labctl breaks the lab, you find out why and repair it, labctl grades."""


@drill.command(name="list")
@options.lab_option
@_path_option
@_lang_option
@click.option("--untested", "--unproved", is_flag=True, help="Also those whose test has not passed on a lab yet.")
@click.option(
    "--book", is_flag=False, flag_value="", metavar="[SECTION]", help="The exercises of the course book, in its order."
)
@options.output_option
def list_(lab: Path | None, given: Path | None, lang: str | None, untested: bool, book: str | None, output: str) -> int:
    """Show every drill: done, open, or not possible here and why."""
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill.listing import list_drills

    try:
        opened: Lab | None = open_lab(lab)
    except SpecError:
        opened = None
    wording = _wording(lang, opened)
    listed = list_drills(opened, given, wording, untested=untested, book=book)
    return show(listed, output, lambda listed: drill_views.list_lines(listed, wording, by_book=book is not None))


@drill.command()
@_session
@click.option("--no-wait", is_flag=True, help="Do not wait until the break shows.")
@options.change_options
@click.argument("name", shell_complete=_complete)
def start(
    lab: Lab, wording: Wording, given: Path | None, no_wait: bool,
    yes: bool, dry_run: bool, output: str, progress: str, name: str,
) -> int:  # fmt: skip
    """Break the lab as the drill NAME says, and show the task. A start that was interrupted is continued.

    NAME is a drill, or a section of the course book that has one exercise.
    """
    from orchestrator.verbs.drill import exercise

    if dry_run:
        return show_dry_run(exercise.preview(lab, name, given), output)
    with show_progress(progress) as emit:
        task = exercise.start(lab, name, given=given, wait=not no_wait, wording=wording, emit=emit)
    return show(task, output, lambda task: drill_views.task_lines(task, wording))


@drill.command()
@_session
@options.output_option
def hint(lab: Lab, wording: Wording, given: Path | None, output: str) -> int:
    """Show one hint more; there are three."""
    from orchestrator.verbs.drill.progress import show_hint

    return show(show_hint(lab, given, wording), output, lambda hints: drill_views.hint_lines(hints, wording))


@drill.command()
@_session
@click.option("--answer", "answers", multiple=True, metavar="N=TEXT", help="Answer question N; repeatable.")
@options.output_option
def observe(lab: Lab, wording: Wording, given: Path | None, answers: tuple[str, ...], output: str) -> int:
    """Ask what can be seen while the lab is broken; on a terminal the questions are asked one by one."""
    from orchestrator.verbs.drill.observe import compare_answers, open_questions

    typed = dict(map(_parse_answer, answers))
    is_interactive = is_text(output) and sys.stdin.isatty() and not answers
    if is_interactive:
        typed = _ask(open_questions(lab, given, wording), wording)
    compared = compare_answers(lab, typed, given, wording)
    lines = drill_views.answer_lines(compared, typed, wording, asked=is_interactive)
    return show(compared, output, lambda _: lines)


@drill.command()
@_session
@options.output_option
@options.progress_option
def check(lab: Lab, wording: Wording, given: Path | None, output: str, progress: str) -> int:
    """Grade the repair: what is right and what is still wrong, never the solution. Exit code 7: not solved yet."""
    from orchestrator.verbs.drill import grade

    verdict = grade.check(lab, wording=wording, given=given)
    return show(verdict, output, lambda verdict: drill_views.verdict_lines(verdict, wording), verdict.exit_code)


@drill.command()
@_session
@options.change_options
def solve(lab: Lab, wording: Wording, given: Path | None, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Let labctl repair the lab, saying what it does and why."""
    from orchestrator.verbs.drill import grade
    from orchestrator.verbs.drill.progress import open_drill

    about, _ = open_drill(lab, given)
    if dry_run:
        return show_dry_run([f"repair the lab with the solution of {about.slug}"], output)
    if is_text(output):
        click.echo(f"{click.style(wording.say('explain'), bold=True)}\n{wording.text(about.explain)}")
    with show_progress(progress) as emit:
        verdict = grade.solve(lab, emit=emit, wording=wording, given=given)
    return show(verdict, output, lambda verdict: drill_views.verdict_lines(verdict, wording), verdict.exit_code)


@drill.command()
@_session
@options.change_options
def reset(lab: Lab, wording: Wording, given: Path | None, yes: bool, dry_run: bool, output: str, progress: str) -> int:
    """Put everything back as it was before the drill, and verify the lab."""
    from orchestrator.verbs.drill import exercise
    from orchestrator.verbs.drill.progress import open_drill

    if dry_run:
        slug = open_drill(lab, given)[0].slug
        return show_dry_run([f"undo {slug} and remove its objects", "verify the lab"], output)
    with show_progress(progress) as emit:
        done = exercise.reset(lab, emit=emit, wording=wording, given=given)
    return show(done, output, lambda done: [wording.say("reset", done.name)])


@drill.command()
@_session
@click.option("--student", default="", metavar="NAME", help="Name in the results; the default is the user's.")
@options.output_option
def status(lab: Lab, wording: Wording, given: Path | None, student: str, output: str) -> int:
    """Show the open drill with its task; --output json is the document of results that `drill report` reads."""
    from orchestrator.verbs.drill.progress import drill_status, open_drill, task_of

    found = drill_status(lab, student)
    # For people alone: the results are of use when the drill's directory is gone, too.
    task = task_of(open_drill(lab, given)[0], wording) if found.open and is_text(output) else None
    return show(found, output, lambda found: drill_views.status_lines(found.open, task, wording))


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
def report(lab: Path | None, given: Path | None, lang: str | None, html: Path, files: tuple[Path, ...]) -> None:
    """Write the results of a class as a page.

    FILES are outputs of `drill status --output json`; without any, the page shows this lab's.
    """
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill.class_report import write_report

    opened = None if files else open_lab(lab)
    count = write_report(opened, files, html, given=given, language=_wording(lang, opened).language)
    click.echo(f"{html}: {count}")


@drill.command()
@click.argument("directories", nargs=-1, type=click.Path(path_type=Path))
@options.output_option
def lint(directories: tuple[Path, ...], output: str) -> int:
    """Check drills for errors, each with file and line: those in DIRECTORIES, or labctl's own."""
    from orchestrator.verbs.drill.listing import lint_drills

    result = lint_drills(directories)
    return show(result, output, drill_views.lint_lines, ExitCode.USAGE if result.problems else ExitCode.OK)


def _parse_answer(text: str) -> tuple[int, str]:
    number, separator, words = text.partition("=")
    if not (separator and number.strip().isdigit() and words.strip()):
        raise SpecError(f"--answer {text}: not a number and an answer", fix="--answer 1=w1-k8s")
    return int(number), words.strip()


def _ask(questions: Sequence[str], wording: Wording) -> dict[int, str]:
    """Ask every question on the terminal; an empty answer skips it."""
    typed = {}
    for number, text in enumerate(questions, 1):
        click.echo(f"{wording.say('question', number)}: {text}")
        if answer := click.prompt(wording.say("skip"), default="", show_default=False).strip():
            typed[number] = answer
    return typed
