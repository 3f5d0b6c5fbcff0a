"""Specs of a conformance suite as results of checks: which were chosen, and what became of them by Ginkgo's JUnit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from .model import Result, Status

_IT = "[It] "
# The labels that Ginkgo appends to a name repeat what is in it.
_LABELS = re.compile(r" \[[^\[\]]*\]$")
_TAG = re.compile(r"\[[^\[\]]*\] ?")
_STATUSES: Mapping[str, Status] = {"passed": "ok", "skipped": "not_applicable", "interrupted": "not_run"}
_LONGEST = 1500
RERUN = "labctl conformance --focus '{}'"


def chosen_specs(junit: Path) -> tuple[str, ...]:
    """The specs that a dry run would run, by their names without labels."""
    return tuple(spec_name(case) for case in _cases(junit) if case.get("status") == "passed" and _is_spec(case))


def results_of(chosen: Iterable[str], junit: Path | None) -> tuple[Result, ...]:
    """A result for each chosen spec, and one for each other part of the suite that failed.

    A spec that the report does not have was not run.
    """
    wanted = tuple(chosen)
    cases = _cases(junit) if junit and junit.exists() else []
    by_name = {spec_name(case): case for case in cases if _is_spec(case)}
    results = [_result(name, by_name[name]) if name in by_name else _not_run(name) for name in wanted]
    around = [case for case in cases if not _is_spec(case) and case.get("status") not in ("passed", "skipped")]
    return (*results, *(_result(str(case.get("name")), case) for case in around))


def spec_name(case: ElementTree.Element) -> str:
    """A spec's name as its source has it."""
    return _LABELS.sub("", str(case.get("name")).removeprefix(_IT))


def title_of(name: str) -> str:
    """A spec's name without its tags."""
    return " ".join(_TAG.sub("", name).split())


def group_of(name: str) -> str:
    """The group of the Kubernetes project that a spec belongs to."""
    match = re.match(r"\[(sig-[\w-]+)\]", name)
    return match[1] if match else "suite"


def _is_spec(case: ElementTree.Element) -> bool:
    return str(case.get("name")).startswith(_IT)


def _cases(junit: Path) -> list[ElementTree.Element]:
    """The cases of a report; none of one that an interrupted run left incomplete."""
    try:
        return list(ElementTree.parse(junit).getroot().iter("testcase"))
    except ElementTree.ParseError:
        return []


def _result(name: str, case: ElementTree.Element) -> Result:
    said = case.get("status", "")
    status = _STATUSES.get(said, "failed")
    return Result(
        id=name,
        layer=group_of(name),
        node="",
        status=status,
        title=title_of(name) or name,
        evidence="" if status == "ok" else _evidence(case, said),
        remedy=RERUN.format(re.escape(title_of(name)[:60]).replace("\\ ", " ")) if status == "failed" else "",
        seconds=float(case.get("time", 0)),
    )


def _evidence(case: ElementTree.Element, said: str) -> str:
    for child in case:
        if child.tag in ("failure", "error", "skipped"):
            text = "\n".join(filter(None, (child.get("message"), (child.text or "").strip())))
            return text[:_LONGEST].strip() or said
    return said


def _not_run(name: str) -> Result:
    return Result(name, group_of(name), "", "not_run", title=title_of(name), evidence="the run ended before it")
