"""The number of workers as lab.yml says it: changed in place, every other character kept."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.errors import HostError, SpecError


def write(file: Path, count: int) -> None:
    """Put the number where `workers.count` stands. Raises SpecError when that is nowhere, HostError when unwritable."""
    try:
        text = file.read_text(encoding="utf-8")
        fresh = replaced(text, count)
        if fresh == text:
            return
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        beside.write_text(fresh, encoding="utf-8")
        beside.chmod(file.stat().st_mode & 0o777)
        beside.replace(file.resolve())
    except (KeyError, TypeError, ValueError):
        fix = f"write workers.count: {count} yourself, then the same command again"
        raise SpecError(f"{file}: workers.count cannot be changed in place", fix=fix) from None
    except OSError as problem:
        raise HostError(f"{file} cannot be written: {problem.strerror}", fix=f"ls -l {file}") from None


def replaced(text: str, count: int) -> str:
    """The text with another number of workers."""
    from ruamel.yaml import YAML

    document = YAML(typ="rt", pure=True).load(text)
    workers = document["workers"]
    line, column = workers.lc.value("count")
    lines = text.splitlines(keepends=True)
    old = lines[line][column:]
    digits = len(old) - len(old.lstrip("0123456789"))
    if not digits or int(old[:digits]) != workers["count"]:
        raise ValueError("the number is written in a form of its own")
    lines[line] = f"{lines[line][:column]}{count}{old[digits:]}"
    return "".join(lines)
