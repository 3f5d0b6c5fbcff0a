"""What changed between two reports: the lines that `labctl verify --watch` prints."""

from __future__ import annotations

from .report import CheckResult, Report


def changes(before: Report, after: Report) -> tuple[str, ...]:
    """One sentence per check whose verdict differs, the worse ones first; a check that is new or gone counts too."""
    old = {(result.id, result.node): result for result in before.results}
    new = {(result.id, result.node): result for result in after.results}
    worse = [
        _line(one, "was " + _status(old.get(key))) for key, one in new.items() if _turned(old.get(key), one, bad=True)
    ]
    better = [
        _line(one, "was " + _status(old.get(key))) for key, one in new.items() if _turned(old.get(key), one, bad=False)
    ]
    gone = [_line(one, "is no longer checked", now=False) for key, one in old.items() if key not in new]
    return (*worse, *better, *gone)


def _turned(old: CheckResult | None, new: CheckResult, *, bad: bool) -> bool:
    changed = old is None or old.status != new.status
    return changed and (new.status not in ("ok", "not_applicable")) is bad


def _status(result: CheckResult | None) -> str:
    return result.status.replace("_", " ") if result else "not checked"


def _line(result: CheckResult, tail: str, *, now: bool = True) -> str:
    where = result.place
    verdict = f" {result.status.replace('_', ' ')} ({tail})" if now else f" {tail}"
    first = result.evidence.splitlines()[0] if result.evidence else ""
    return f"{where}: {result.title}:{verdict}" + (f": {first}" if first and now else "")
