"""What changed between two reports: the lines that `labctl verify --watch` prints."""

from __future__ import annotations

from .model import Report, Result


def changes(before: Report, after: Report) -> tuple[str, ...]:
    """One line per check whose status differs, the worse ones first; a check that is new or gone counts too."""
    old = {(result.id, result.node): result for result in before.results}
    new = {(result.id, result.node): result for result in after.results}
    changed = [(old.get(key), one) for key, one in new.items() if key not in old or old[key].status != one.status]
    changed.sort(key=lambda pair: pair[1].status in ("ok", "not_applicable"))
    gone = [f"{one.place}: {one.title}: is no longer checked" for key, one in old.items() if key not in new]
    return (*(_line(one, previous) for previous, one in changed), *gone)


def _line(result: Result, previous: Result | None) -> str:
    was = previous.status.replace("_", " ") if previous else "not checked"
    line = f"{result.place}: {result.title}: {result.status.replace('_', ' ')} (was {was})"
    return f"{line}: {result.headline}" if result.headline else line
