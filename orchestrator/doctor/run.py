"""Asks all checks at once, each within its time limit; a check that hangs or breaks is a result like any other."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from .finding import Check, Finding, Result

SLOW_FIX = "run it again; if it stays so, look at what the check asks for by hand"


def run_checks(checks: Sequence[Check]) -> tuple[Result, ...]:
    """One result per check, in their order. Takes as long as the slowest check, and at most its time limit."""
    answers: dict[str, Result] = {}
    began = time.monotonic()
    # Daemon threads: a probe that never returns must not keep the command from ending.
    threads = [(check, threading.Thread(target=_answer, args=(check, answers), daemon=True)) for check in checks]
    for _, thread in threads:
        thread.start()
    for check, thread in threads:
        thread.join(max(0.0, began + check.seconds - time.monotonic()))
    return tuple(answers.get(check.id) or _silent(check) for check in checks)


def _answer(check: Check, answers: dict[str, Result]) -> None:
    began = time.monotonic()
    try:
        result = _result(check, check.look(), time.monotonic() - began)
    except Exception as problem:  # whatever a probe of a strange host raises is that check's result, not the end of all
        text = f"{type(problem).__name__}: {problem}"
        result = Result(check.id, check.title, "error", f"could not be looked at: {text}", fix=SLOW_FIX)
    answers[check.id] = result


def _result(check: Check, finding: Finding, seconds: float) -> Result:
    if finding.passed is None:
        return Result(check.id, check.title, "not_applicable", finding.found, seconds=seconds)
    failed = "failed" if check.severity == "error" else "warning"
    return Result(
        check.id,
        check.title,
        "ok" if finding.passed else failed,  # type: ignore[arg-type]
        finding.found,
        finding.required,
        finding.fix,
        finding.repair,
        seconds,
    )


def _silent(check: Check) -> Result:
    text = f"no answer within {check.seconds:.0f} s"
    return Result(check.id, check.title, "error", text, fix=SLOW_FIX, seconds=check.seconds)
