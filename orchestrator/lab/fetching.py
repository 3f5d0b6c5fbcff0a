"""A file that a user names by its path or its URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator import bundle, host, paths
from orchestrator.errors import HostError
from orchestrator.events import Emit, Note

_HERE = ("localhost", "127.0.0.1", "::1")


def is_url(source: str) -> bool:
    """Whether a source is to be fetched."""
    return source.startswith(("http://", "https://"))


@contextmanager
def local_file(source: str, emit: Emit, phase: str, *, command: str, sha256: str = "") -> Iterator[Path]:
    """The file itself, or what its URL sends, for as long as the block lasts.

    `command` takes a file in the place of the URL. What is fetched has the sha256, where one is given. Raises HostError
    for what cannot be fetched and for another sum.
    """
    if not is_url(source):
        yield Path(source)
        return
    if host.offline() and urlsplit(source).hostname not in _HERE:
        raise HostError(f"LABCTL_OFFLINE is set: {source} is not fetched", fix=f"{command} FILE")
    file = paths.cache_dir() / "downloads" / urlsplit(source).path.rpartition("/")[2]
    bundle.Downloads(lambda text: emit(Note(phase=phase, text=text))).fetch(source, file, source, sha256)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
