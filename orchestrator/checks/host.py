"""Checks that look at this host: a declaration with the function that evaluates it, and the runner for all at once."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from orchestrator import host, proc
from orchestrator.catalog.host_packages import by_hand, packages_of

from .model import Check, Outcome, Repair, Result, Severity, failed, passed

Value = TypeVar("Value")

PROGRAM_SECONDS = 8.0
SLOW_REMEDY = "run it again; if it stays so, run by hand what the check looks at"
# Where programs of the system lie that a user's PATH often lacks.
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class HostCheck:
    """The declaration of a check with its evaluation, which gets `timeout` seconds."""

    id: str
    title: str
    evaluate: Callable[[], Outcome]
    severity: Severity = "error"
    timeout: float = 10.0

    def result(self, outcome: Outcome, seconds: float) -> Result:
        """The result of the check."""
        return Check(self.id, self.title, severity=self.severity).result(outcome, seconds=seconds)


def run_host_checks(checks: Sequence[HostCheck]) -> tuple[Result, ...]:
    """One result per check, in their order. Takes as long as the slowest check, and at most its time limit.

    A check that hangs or raises has a result like any other.
    """
    results: dict[str, Result] = {}
    began = time.monotonic()
    # Daemon threads: a probe that never returns must not keep the command from ending.
    threads = [(check, threading.Thread(target=_evaluate, args=(check, results), daemon=True)) for check in checks]
    for _, thread in threads:
        thread.start()
    for check, thread in threads:
        thread.join(max(0.0, began + check.timeout - time.monotonic()))
    return tuple(results.get(check.id) or _timed_out(check) for check in checks)


def _evaluate(check: HostCheck, results: dict[str, Result]) -> None:
    began = time.monotonic()
    try:
        outcome = check.evaluate()
    except Exception as problem:  # whatever a probe of a strange host raises is that check's result, not the end of all
        text = f"could not be evaluated: {type(problem).__name__}: {problem}"
        outcome = Outcome("error", text, remedy=SLOW_REMEDY)
    results[check.id] = check.result(outcome, time.monotonic() - began)


def _timed_out(check: HostCheck) -> Result:
    text = f"no answer within {check.timeout:.0f} s"
    return check.result(Outcome("error", text, remedy=SLOW_REMEDY), check.timeout)


class Once(Generic[Value]):
    """A costly probe that several checks need: the first one runs it, the others wait for the same value."""

    def __init__(self, probe: Callable[[], Value]) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        self._values: list[Value] = []

    def __call__(self) -> Value:
        with self._lock:
            if not self._values:
                self._values.append(self._probe())
            return self._values[0]


def read_text(path: str) -> str:
    """The text of a file; empty when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def program_output(argv: Sequence[str]) -> str | None:
    """What a program prints on either stream; None when it is not installed."""
    program = shutil.which(argv[0], path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}")
    if program is None:
        return None
    result = proc.run([program, *argv[1:]], check=False, timeout=PROGRAM_SECONDS)
    return result.stdout + result.stderr


def evaluate_program(
    name: str, output: str | None, minimum: tuple[int, ...], remedy: str, repair: Repair | None = None
) -> Outcome:
    """Whether a program is installed in a version from `minimum` on; `output` is what it prints of its version."""
    expected = f"{name} {'.'.join(map(str, minimum))} or later" if minimum else name
    if output is None:
        return failed("not installed", expected, remedy, repair)
    match = re.search(r"\d+(?:\.\d+)+", output)
    version = tuple(int(part) for part in match.group().split(".")) if match else ()
    shown = ".".join(map(str, version)) or "installed"
    return failed(shown, expected, remedy) if version and version < minimum else passed(shown, expected)


def package_names(program: str) -> tuple[str, ...]:
    """The packages of this host's package manager that bring a program; empty where nobody knows them."""
    return packages_of(program, host.package_manager())


def install_remedy(program: str) -> str:
    """The command that installs what brings a program on this host, or what to install by hand."""
    if names := package_names(program):
        return host.install_command(host.package_manager(), names)
    return f"install by hand: {by_hand(program)}"


def package_check(
    identity: str, title: str, argv: Sequence[str], program: str, minimum: tuple[int, ...] = ()
) -> HostCheck:
    """The check of a program that a package of this host brings; `program` is its name in the catalog."""

    def evaluate() -> Outcome:
        repair = Repair(packages=names) if (names := package_names(program)) else None
        remedy = install_remedy(program)
        return evaluate_program(argv[0], program_output(argv), minimum, remedy, repair)

    return HostCheck(identity, title, evaluate)
