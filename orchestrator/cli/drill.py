"""`labctl drill`: learn by breaking the lab and repairing it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import drill_views, options
from orchestrator.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.lab.state import Lab


def _path_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--path", "given", type=click.Path(path_type=Path), metavar="DIRECTORY", help="Drills of your own, too."
    )(command)


def _lang_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--lang", type=click.Choice(["en", "ko"]), help="Language; the default is that of the locale.")(
        command
    )


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
@click.option("--unproved", is_flag=True, help="Also those whose proof has not passed on a real lab yet.")
@options.output_option
def list_(lab: Path | None, given: Path | None, lang: str | None, unproved: bool, output: str) -> None:
    """Show every drill: done, open, or not possible here and why."""
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import session as drills

    language = words.language(lang)
    try:
        found: Lab | None = open_lab(lab)
    except SpecError:
        found = None
    everything = drills.listed(found, given)
    rows = [row for row in everything if unproved or row.drill.proved or row.state == "open"]
    if output == "json":
        entries = [
            {"name": row.drill.slug, "state": row.state, "why": row.why, **drill_views.facts_of(row.drill, language)}
            for row in rows
        ]
        options.print_json({"schema": "labctl/drills/v1", "drills": entries})
        return
    width = max((len(row.drill.slug) for row in rows), default=0)
    for row in rows:
        state = words.say(language, row.state, row.why)
        about = row.drill
        stars = "*" * about.level
        minutes = words.say(language, "minutes", about.minutes)
        title = drill_views.title_of(about, language)
        click.echo(f"{about.slug:<{width}}  {about.section:<8} {stars:<3} {minutes:>6}  {title}")
        if row.state != "new":
            click.echo(f"{'':<{width}}  {state}")
    solved = sum(1 for row in rows if row.state == "done")
    if rows:
        click.echo(words.say(language, "summary", solved, len(rows)))
    if hidden := len(everything) - len(rows):
        click.echo(words.say(language, "unproved", hidden))
    if found is None:
        click.echo(words.say(language, "no_lab"))


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@click.option("--no-wait", is_flag=True, help="Do not wait until the break shows.")
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
@click.argument("name", shell_complete=_complete)
def start(
    lab: Path | None,
    given: Path | None,
    lang: str | None,
    no_wait: bool,
    yes: bool,
    dry_run: bool,
    output: str,
    progress: str,
    name: str,
) -> int:
    """Break the lab as the drill NAME says, and show the task. A start that was interrupted is continued."""
    from orchestrator.cli import progress as views
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import session as drills

    language = words.language(lang)
    found = open_lab(lab)
    if dry_run:
        return options.preview(drills.intent(found, name, given), output)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        begun = drills.start(found, name, given=given, wait=not no_wait, language=language, emit=emit)
    drill_views.show_task(found, begun, language, output)
    return ExitCode.OK


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@options.output_option
def hint(lab: Path | None, given: Path | None, lang: str | None, output: str) -> None:
    """Show one hint more; there are three."""
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import session as drills

    language = words.language(lang)
    found = open_lab(lab)
    about, count = drills.hint(found, given)
    shown = [drill_views.text_of(found, text, language) for text in about.hints[:count]]
    if output == "json":
        options.print_json({"schema": "labctl/drill-hint/v1", "name": about.slug, "hints": shown})
        return
    for number, text in enumerate(shown, 1):
        click.secho(words.say(language, "hint", number), bold=True)
        click.echo(text)
    if count == len(about.hints):
        click.echo(words.say(language, "no_more_hints"))


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@click.option("--answer", "answers", multiple=True, metavar="N=TEXT", help="Answer question N; repeatable.")
@options.output_option
def observe(lab: Path | None, given: Path | None, lang: str | None, answers: tuple[str, ...], output: str) -> None:
    """Ask what can be seen while the lab is broken; on a terminal the questions are asked one by one."""
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import session as drills

    language = words.language(lang)
    found = open_lab(lab)
    about, progress = drills.opened(found, given)
    asked = [drill_views.text_of(found, question.ask, language) for question in about.questions]
    wanted = dict(_answer(text) for text in answers)
    interactive = output == "text" and sys.stdin.isatty() and not answers
    if interactive:
        wanted = _ask(asked, language)
    right = drills.observe(found, wanted, given=given)
    if output == "json":
        known = progress.needed().answered
        entries = [
            {"number": number, "ask": text, "right": right.get(number, True if number in known else None)}
            for number, text in enumerate(asked, 1)
        ]
        options.print_json({"schema": "labctl/drill-observe/v1", "name": about.slug, "questions": entries})
        return
    if not asked:
        click.echo(words.say(language, "no_questions"))
    for number, text in enumerate(asked, 1):
        if not interactive:
            click.echo(f"{words.say(language, 'question', number)}: {text}")
        if number in right:
            mark = "✓" if right[number] else "✗"
            click.echo(f"  {mark} {wanted[number]}: {words.say(language, 'right' if right[number] else 'not_right')}")
    if asked and not wanted:
        click.echo(words.say(language, "answer_with"))


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@options.output_option
@options.progress_option
def check(lab: Path | None, given: Path | None, lang: str | None, output: str, progress: str) -> int:
    """Grade the repair: what is right and what is still wrong, never the solution. Exit code 7: not solved yet."""
    from orchestrator.cli import progress as views
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import session as drills

    language = words.language(lang)
    found = open_lab(lab)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        verdict = drills.check(found, emit=emit, given=given)
    return drill_views.show_verdict(found, verdict, language, output)


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def solve(
    lab: Path | None, given: Path | None, lang: str | None, yes: bool, dry_run: bool, output: str, progress: str
) -> int:
    """Let labctl repair the lab, saying what it does and why."""
    from orchestrator.cli import progress as views
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import session as drills

    language = words.language(lang)
    found = open_lab(lab)
    about, _ = drills.opened(found, given)
    if dry_run:
        return options.preview([f"repair the lab with the solution of {about.slug}"], output)
    if output == "text":
        click.secho(words.say(language, "explain"), bold=True)
        click.echo(drill_views.text_of(found, about.explain, language))
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        verdict = drills.solve(found, emit=emit, given=given, language=language)
    return drill_views.show_verdict(found, verdict, language, output)


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@options.yes_option
@options.dry_run_option
@options.output_option
@options.progress_option
def reset(
    lab: Path | None, given: Path | None, lang: str | None, yes: bool, dry_run: bool, output: str, progress: str
) -> int:
    """Put everything back as it was before the drill, and prove the lab."""
    from orchestrator.cli import progress as views
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import session as drills

    language = words.language(lang)
    found = open_lab(lab)
    if dry_run:
        about, _ = drills.opened(found, given)
        return options.preview([f"undo {about.slug} and remove its objects", "verify the lab"], output)
    with views.showing(views.choose_view(progress, quiet=False)) as emit:
        name = drills.reset(found, emit=emit, given=given, language=language)
    if output == "json":
        options.print_json({"schema": "labctl/drill-reset/v1", "name": name, "ok": True})
    else:
        click.echo(words.say(language, "reset", name))
    return ExitCode.OK


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@click.option("--student", metavar="NAME", help="Name in the results; the default is the user's.")
@options.output_option
def status(lab: Path | None, given: Path | None, lang: str | None, student: str | None, output: str) -> None:
    """Show the open drill with its task; --output json is the document of results that `drill report` reads."""
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import session as drills

    language = words.language(lang)
    found = open_lab(lab)
    held = drills.read(found).current
    if output == "json":
        options.print_json({**drills.results(found, student or ""), "open": vars(held) if held else None})
        return
    if held is None:
        click.echo(words.say(language, "nothing_open"))
        return
    since = words.duration(time.time() - held.began, language)
    click.echo(words.say(language, "is_open", held.slug, since, held.hints, held.checks))
    if held.interrupted:
        click.echo(words.say(language, "was_interrupted", held.phase))
    if held.solved_at:
        click.echo(drill_views.how_solved(held, language))
    about, _ = drills.opened(found, given)
    drill_views.show_task(found, about, language, output)


@drill.command()
@options.lab_option
@_path_option
@_lang_option
@click.option("--html", "html", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
def report(lab: Path | None, given: Path | None, lang: str | None, html: Path, files: tuple[Path, ...]) -> None:
    """Write the results of a class as a page.

    FILES are outputs of `drill status --output json`; without any, the page shows this lab's.
    """
    from orchestrator.drills import words
    from orchestrator.lab.state import open_lab
    from orchestrator.verbs.drill import class_report

    found = None if files else open_lab(lab)
    count = class_report.write(found, files, html, given=given, language=words.language(lang))
    click.echo(f"{html}: {count}")


@drill.command()
@click.argument("directories", nargs=-1, type=click.Path(path_type=Path))
@options.output_option
def lint(directories: tuple[Path, ...], output: str) -> int:
    """Check drills for errors, each with file and line: those in DIRECTORIES, or labctl's own."""
    from orchestrator.verbs.drill import lint as drill_lint

    count, problems = drill_lint.lint(directories)
    if output == "json":
        entries = [{"where": one.where, "what": one.what, "fix": one.fix} for one in problems]
        options.print_json({"schema": "labctl/drill-lint/v1", "drills": count, "problems": entries})
    else:
        for one in problems:
            click.echo(str(one))
        click.echo(f"{count} drills, {len(problems)} problems")
    return ExitCode.USAGE if problems else ExitCode.OK


def _answer(text: str) -> tuple[int, str]:
    number, separator, words = text.partition("=")
    if not (separator and number.strip().isdigit() and words.strip()):
        raise SpecError(f"--answer {text}: not a number and an answer", fix="--answer 1=w1-k8s")
    return int(number), words.strip()


def _ask(asked: Sequence[str], language: str) -> dict[int, str]:
    """Ask every question on the terminal; an empty answer skips it."""
    from orchestrator.drills import words

    given = {}
    for number, text in enumerate(asked, 1):
        click.echo(f"{words.say(language, 'question', number)}: {text}")
        answer = click.prompt(words.say(language, "skip"), default="", show_default=False)
        if answer.strip():
            given[number] = answer.strip()
    return given
