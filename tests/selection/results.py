"""The recorded results: one file a part, one line a test, so that two branches merge."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from tests.selection.choice import Result


def read_results(file: Path) -> dict[str, Result]:
    """Return the results of a file by test id; none when it does not exist."""
    if not file.exists():
        return {}
    return {name: Result(**fields) for name, fields in json.loads(file.read_text(encoding="utf-8")).items()}


def write_results(file: Path, results: Mapping[str, Result]) -> None:
    """Replace a file of results in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{json.dumps(name)}: {json.dumps({key: value for key, value in asdict(results[name]).items() if value != {}})}"
        for name in sorted(results)
    ]
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    fresh.replace(file)
