"""A large archive of a bundle kept as its pieces, so that layers which several archives have lie on the disk once."""

from __future__ import annotations

import base64
import bisect
import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

# Beside the archive that it describes; the pieces lie in this folder of the bundle, each under its sum.
_INDEX = ".pieces.json"
FOLDER = "pieces"
# Bytes: a smaller member of the archive stands in the index itself.
_WORTH = 100_000
_CHUNK = 1 << 20

# What the archive consists of, in its order: bytes, or the sum and the size of a piece.
_Part = bytes | tuple[str, int]


def index_of(file: Path) -> Path:
    """Where the index of an archive is, or would be."""
    return file.with_name(f"{file.name}{_INDEX}")


def split(file: Path) -> None:
    """Replace a tar archive by its pieces and their index. Raises tarfile.TarError for what is none."""
    folder, members = file.parent / FOLDER, list(_members(file))
    folder.mkdir(exist_ok=True)
    parts: list[_Part] = []
    with file.open("rb") as stream:
        done = 0
        for start, size in members:
            parts.append(_read(stream, start - done))
            parts.append((_store(stream, size, folder), size))
            done = start + size
        parts.append(stream.read())
    rows = [base64.b64encode(one).decode() if isinstance(one, bytes) else one for one in parts]
    index_of(file).write_text(json.dumps(rows), encoding="utf-8")
    file.unlink()


def _members(file: Path) -> Iterator[tuple[int, int]]:
    """Begin and size of the content of every large member."""
    with tarfile.open(file) as tar:
        for member in tar:
            if member.isfile() and member.size >= _WORTH:
                yield member.offset_data, member.size


def _read(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _store(stream: BinaryIO, size: int, folder: Path) -> str:
    """Write the next bytes of a stream as a piece, and return its sum."""
    digest, fresh = hashlib.sha256(), folder / ".fresh"
    with fresh.open("wb") as target:
        while size:
            content = _read(stream, min(size, _CHUNK))
            digest.update(content)
            target.write(content)
            size -= len(content)
    name = digest.hexdigest()
    fresh.replace(folder / name)
    return name


def names(directory: Path, files: Collection[str]) -> set[str]:
    """The files in a bundle's directory that stand for those of the manifest which are kept as pieces."""
    found = set()
    for name in files:
        if (index := index_of(directory / name)).is_file():
            found.add(index.relative_to(directory).as_posix())
            found |= {f"{FOLDER}/{part[0]}" for part in _parts(index) if not isinstance(part, bytes)}
    return found


def is_split(file: Path) -> bool:
    """Whether a file of a bundle is kept as pieces."""
    return not file.exists() and index_of(file).is_file()


def open_file(file: Path) -> io.BufferedReader:
    """A file of a bundle for reading, whether it is kept whole or as pieces. Raises OSError or ValueError."""
    if not is_split(file):
        return file.open("rb")
    return io.BufferedReader(_Pieces(_parts(index_of(file)), file.parent / FOLDER), _CHUNK)


def size_of(file: Path) -> int:
    """Bytes of a file of a bundle. Raises as `open_file` does."""
    with open_file(file) as stream:
        return stream.seek(0, io.SEEK_END)


def _parts(index: Path) -> list[_Part]:
    """The parts that an index names. Raises ValueError for one that makes no sense."""
    try:
        return [_part(row) for row in json.loads(index.read_text(encoding="utf-8"))]
    except (TypeError, IndexError, KeyError) as error:
        raise ValueError(f"{index} is no index of pieces: {error}") from error


def _part(row: Any) -> _Part:
    """A row of an index; a sum is nothing but hexadecimal digits, so that none names a file elsewhere."""
    return base64.b64decode(row) if isinstance(row, str) else (bytes.fromhex(row[0]).hex(), int(row[1]))


class _Pieces(io.RawIOBase):
    """A stream of parts one after the other."""

    def __init__(self, parts: list[_Part], folder: Path) -> None:
        self._parts, self._folder = parts, folder
        self._ends = list(accumulate(len(one) if isinstance(one, bytes) else one[1] for one in parts))
        self._position = 0
        self._open: tuple[int, BinaryIO] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect.bisect_right(self._ends, self._position)
        if number == len(self._parts):
            return 0
        part = self._parts[number]
        inside = self._position - (self._ends[number - 1] if number else 0)
        wanted = min(len(buffer), self._ends[number] - self._position)
        content = part[inside : inside + wanted] if isinstance(part, bytes) else self._piece(number, inside, wanted)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def _piece(self, number: int, inside: int, wanted: int) -> bytes:
        """Bytes of a piece; an end before its size ends the stream."""
        if self._open is None or self._open[0] != number:
            self._close_piece()
            self._open = (number, (self._folder / self._parts[number][0]).open("rb"))  # type: ignore[operator]
        stream = self._open[1]
        stream.seek(inside)
        return stream.read(wanted)

    def _close_piece(self) -> None:
        if self._open:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        self._close_piece()
        super().close()
