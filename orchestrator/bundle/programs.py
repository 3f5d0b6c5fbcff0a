"""Compiled programs kept in the cache by the content of what they were made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from orchestrator.bundle import manifest

_SUMS = "sums.json"


def directory(cache: Path) -> Path:
    """Where all compiled programs lie, one folder per set."""
    return cache / "compiled"


def present(cache: Path, name: str) -> bool:
    """Whether a set of programs is there, as far as a look tells; `stored` compares its content."""
    return (directory(cache) / name / _SUMS).is_file()


def stored(cache: Path, name: str) -> Path | None:
    """The folder of an intact set of programs, or None; a damaged one is removed."""
    place = directory(cache) / name
    try:
        sums = json.loads((place / _SUMS).read_text(encoding="utf-8"))
        if sums and all(manifest.file_sha256(place / file) == value for file, value in sums.items()):
            return place
    except (OSError, ValueError, AttributeError):
        pass
    shutil.rmtree(place, ignore_errors=True)
    return None


def keep(cache: Path, name: str, made: Path) -> Path:
    """Copy a folder of finished programs into the cache; it appears there only when it is complete."""
    place = directory(cache) / name
    fresh = place.with_name(f".{name}")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(made, fresh)
    sums = {item.name: manifest.file_sha256(item) for item in sorted(fresh.iterdir())}
    (fresh / _SUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
    return place


def forget_others(cache: Path, wanted: Collection[str]) -> None:
    """Remove every set but the wanted ones: older inputs will not come back."""
    for place in directory(cache).iterdir() if directory(cache).is_dir() else ():
        if place.name not in wanted:
            shutil.rmtree(place)


def merge(sets: Iterable[Path], target: Path) -> Path:
    """One folder of links to the programs of several sets."""
    target.mkdir(parents=True)
    for place in sets:
        for program in place.iterdir():
            if program.name != _SUMS:
                (target / program.name).symlink_to(program)
    return target
