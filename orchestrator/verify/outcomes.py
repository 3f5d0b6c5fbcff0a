"""Turns how a test ended into the outcome of its check, the evidence in words."""

from __future__ import annotations

import re

import pytest

from orchestrator.checks.model import Outcome, failed, not_applicable, passed

from .session import NodeError

WAITS_FOR = "waits for "
NOT_APPLICABLE = "not applicable"
_EVIDENCE_LIMIT = 700
_COMMAND = re.compile(r"Unexpected exit code (\d+) for CommandResult\(.*command=b?(['\"])(.*?)\2, ", re.DOTALL)


def outcome_of(error: BaseException | None) -> Outcome:
    """The outcome that a test's exception means; None stands for a test that passed."""
    if error is None:
        return passed()
    text = str(getattr(error, "msg", None) or error).strip()
    if isinstance(error, pytest.skip.Exception):
        if text.startswith(WAITS_FOR):
            return Outcome("not_run", text)
        return not_applicable(text.removeprefix(NOT_APPLICABLE).lstrip(": ") or "it does not apply here")
    if isinstance(error, (AssertionError, pytest.fail.Exception)):
        return failed(evidence_of(text))
    if isinstance(error, NodeError):
        return Outcome("error", text)
    return Outcome("error", f"the check itself broke: {type(error).__name__}: {_shortened(text)}")


def evidence_of(text: str) -> str:
    """An assertion's own message, without what pytest adds about the compared values; without one, those values."""
    if command := _COMMAND.search(text):
        stderr = re.search(r"_stderr=b?(['\"])(.*?)\1\)?$", text.splitlines()[0])
        lines = stderr.group(2).replace("\\n", "\n").strip().splitlines() if stderr else []
        return _shortened(": ".join([f"`{command.group(3)}` ended with {command.group(1)}", *lines[-1:]]))
    message = re.split(r"\n\s*assert ", text, maxsplit=1)[0].strip()
    return _shortened(_compared_values(message) if message.startswith("assert ") else message)


def _compared_values(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    observed = [line[2:] for line in lines if line.startswith("+ ") and not line.startswith("+  where")]
    expected = [line[2:] for line in lines if line.startswith("- ")]
    if len(observed) == 1 and len(expected) == 1:
        return f"found `{observed[0]}` instead of `{expected[0]}`"
    return lines[0].removeprefix("assert ")


def _shortened(text: str) -> str:
    """At most eight lines and 700 characters of a text."""
    cut = "\n".join([line.rstrip() for line in text.strip().splitlines() if line.strip()][:8])
    return cut if len(cut) <= _EVIDENCE_LIMIT else cut[: _EVIDENCE_LIMIT - 3] + "..."
