"""The source tree as a download has it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def copy_source_tree(checkout: Path, target: Path) -> Path:
    """Copy the files of a checkout that git knows or would add, without .git; return `target`."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=checkout, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (checkout / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, target / name)
    return target
