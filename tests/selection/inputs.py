"""The hash of what a test runs through: files of the product, the tests' own modules, the case's data."""

from __future__ import annotations

import functools
import hashlib
import pprint
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def hash_inputs(root: Path, patterns: Iterable[str], *data: Any) -> str:
    """Return the hash of all files below the patterns (relative to `root`) and of the data.

    Raises FileNotFoundError for a pattern without a file: an input that moved must not drop out unseen.
    """
    digest = hashlib.sha256()
    for pattern in sorted(set(patterns)):
        digest.update(hash_files(root, pattern).encode())
    for value in data:
        digest.update(stable_text(value, root).encode())
    return digest.hexdigest()[:16]


@functools.cache
def hash_files(root: Path, pattern: str) -> str:
    """Return the hash of names and contents of the files of one pattern; caches and hidden folders do not count."""
    digest = hashlib.sha256()
    is_empty = True
    for path in sorted(root.glob(pattern)):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            name = file.relative_to(root)
            if file.is_file() and not _is_generated(file.relative_to(path)):
                digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
                is_empty = False
    if is_empty:
        raise FileNotFoundError(f"no file of {root} is {pattern}: name where these inputs are now")
    return digest.hexdigest()


def _is_generated(name: Path) -> bool:
    return name.suffix == ".pyc" or any(part.startswith(".") or part == "__pycache__" for part in name.parts[:-1])


def stable_text(value: Any, root: Path) -> str:
    """Return a value as text that is the same in every process and in every checkout."""
    # Only what is too wide for a line is sorted.
    return re.sub(r" at 0x[0-9a-f]+", "", pprint.pformat(value, width=1)).replace(str(root), "")
