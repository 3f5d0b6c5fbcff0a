"""Files for programs of Windows: the folder they are written to, what Windows calls it, and its line ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from orchestrator.errors import HostError, SpecError
from orchestrator.paths import replacing

# A drive and folders of names that Windows allows: no reserved character, no blank or dot at the end of one.
_FOLDER = re.compile(r'[A-Za-z]:(?:\\[^<>:"/\\|?*\x00-\x1f]*[^<>:"/\\|?*\x00-\x1f .])+\\?')
_DRIVE = re.compile(r"/mnt/([a-z])/(.+)")
KEEP_TO_YOURSELF = 'icacls "{0}" /inheritance:r /grant:r "%USERNAME%:R"'


@dataclass(frozen=True)
class WindowsFolder:
    """A folder as labctl writes to it, and as Windows calls it; `is_there` when both are one."""

    here: Path
    there: PureWindowsPath
    is_there: bool

    def steps(self, *commands: str) -> list[str]:
        """What is left to do in Windows, a line each: copy the folder unless it is there, then these commands."""
        copy = [] if self.is_there else [f"copy the folder {self.here} to {self.there}"]
        return [*copy, *(f"in Windows' Command Prompt: {command}" for command in commands)]


def folder_of(name: str, to: Path | None, there: str | None) -> WindowsFolder:
    """The folder of a lab's files for Windows. Raises SpecError for a folder that Windows could not have."""
    here = (to or Path(f"{name}-windows")).resolve()
    drive = _DRIVE.fullmatch(str(here))
    own = f"{drive[1].upper()}:\\" + drive[2].replace("/", "\\") if drive else None
    folder = there or own or f"C:\\labctl\\{name}"
    if not _FOLDER.fullmatch(folder):
        what = f"{folder} is no folder that Windows can have" if there else f"Windows cannot have a folder {folder}"
        raise SpecError(what, fix=f"--windows-folder 'C:\\labctl\\{name}'")
    return WindowsFolder(here, PureWindowsPath(folder), folder == own)


def write_text(file: Path, text: str, newline: str = "\r\n") -> None:
    """Write a text with Windows' line ends, for its owner alone. Raises HostError when it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as stream:
            stream.write(newline.join([*text.splitlines(), ""]).encode())
    except OSError as problem:
        raise HostError(f"{file.parent} cannot be written: {problem.strerror}", fix="--to ANOTHER-DIRECTORY") from None
