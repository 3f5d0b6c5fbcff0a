#!/usr/bin/env python3
"""Count lines of Python that are code, by tokens: no blanks, comments, docstrings.

Counted is every tracked *.py outside tests/, bench/ and docs/, so drills/, molecule/ and roles/*/tests count too.
`python bench/code_lines.py [REVISION]` prints a row per top-level folder (per room below orchestrator/) and the sum.
"""

from __future__ import annotations

import io
import subprocess
import sys
import token
import tokenize
from collections import Counter
from pathlib import PurePosixPath

LEFT_OUT = ("tests", "bench", "docs")
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    token.NEWLINE,
    token.INDENT,
    token.DEDENT,
    token.ENCODING,
    token.ENDMARKER,
}


def code_lines(source: bytes) -> int:
    """How many lines of a module hold code; a string that is a statement by itself counts as a docstring."""
    lines: set[int] = set()
    statement: list[tokenize.TokenInfo] = []
    for item in tokenize.tokenize(io.BytesIO(source).readline):
        if item.type not in NOT_CODE:
            statement.append(item)
        elif item.type in (token.NEWLINE, token.ENDMARKER):
            if any(part.type != token.STRING for part in statement):
                for part in statement:
                    lines.update(range(part.start[0], part.end[0] + 1))
            statement = []
    return len(lines)


def tracked(revision: str) -> list[str]:
    """The Python files of a revision that are counted."""
    names = subprocess.check_output(["git", "ls-tree", "-r", "--name-only", revision], text=True).splitlines()
    return [name for name in names if name.endswith(".py") and name.split("/")[0] not in LEFT_OUT]


def room(name: str) -> str:
    """The folder a file is counted under."""
    parts = PurePosixPath(name).parts
    return "/".join(parts[:2]) if parts[0] == "orchestrator" else parts[0]


def main() -> None:
    """Print the table."""
    revision = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    rooms: Counter[str] = Counter()
    for name in tracked(revision):
        rooms[room(name)] += code_lines(subprocess.check_output(["git", "show", f"{revision}:{name}"]))
    for name, count in sorted(rooms.items()):
        print(f"{count:6}  {name}")
    print(f"{sum(rooms.values()):6}  all at {revision}")


if __name__ == "__main__":
    main()
