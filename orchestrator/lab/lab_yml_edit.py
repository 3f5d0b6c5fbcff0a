"""Changes the number of workers in lab.yml and keeps every other character."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import HostError, SpecError
from orchestrator.lab.yaml_text import load_yaml
from orchestrator.paths import replacing


def write_worker_count(file: Path, count: int) -> None:
    """Write `workers.count`. Raises SpecError when lab.yml does not have it, HostError when it is not writable."""
    try:
        text = file.read_text(encoding="utf-8")
        changed = with_worker_count(text, count)
        if changed != text:
            with replacing(file.resolve(), file.stat().st_mode & 0o777) as stream:
                stream.write(changed.encode())
    except (KeyError, TypeError, ValueError):
        fix = f"write workers.count: {count} yourself, then run the same command again"
        raise SpecError(f"{file}: workers.count cannot be changed in place", fix=fix) from None
    except OSError as problem:
        raise HostError(f"{file} cannot be written: {problem.strerror}", fix=f"ls -l {file}") from None


def with_worker_count(text: str, count: int) -> str:
    """The text of a lab.yml with another number of workers. Raises ValueError for a number that is not decimal."""
    workers = load_yaml(text)["workers"]
    line, column = workers.lc.value("count")
    lines = text.splitlines(keepends=True)
    old = lines[line][column:]
    digits = len(old) - len(old.lstrip("0123456789"))
    if not digits or int(old[:digits]) != workers["count"]:
        raise ValueError("not a decimal number")
    lines[line] = f"{lines[line][:column]}{count}{old[digits:]}"
    return "".join(lines)
