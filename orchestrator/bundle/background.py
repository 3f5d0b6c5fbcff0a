"""What the compilers of a bundle have in common: they run in the background, with a line of progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator import proc
from orchestrator.bundle.recipe import Recipe
from orchestrator.bundle.root import BuildRoot
from orchestrator.errors import HostError

_POLL = 0.2


@dataclass
class Background:
    """A process beside the other steps of a build, the leader of its group; None when nothing runs."""

    root: BuildRoot
    cache: Path
    inputs: Recipe
    log: Path
    process: proc.Process | None = None
    started: float = 0.0

    def begin(self) -> None:
        """Start what does not need the build root."""

    def begin_inside(self) -> None:
        """Start what needs the build root, which is there now."""

    def finish(self, detail: list[str]) -> Path:
        """Wait for the end and return the folder of the programs; raises HostError with the log."""
        raise NotImplementedError

    def spawn(self, argv: list[str], environment: dict[str, str] | None = None) -> None:
        """Start a command that leads a process group, its output in a fresh log."""
        self.log.unlink(missing_ok=True)
        self.started = time.monotonic()
        self.process = proc.spawn(argv, log=self.log, env=environment)

    def wait(self, detail: list[str], stage: Callable[[], str], limit: float) -> None:
        """Wait for the end, the stage as detail; raises HostError with the log when it failed or takes too long."""
        assert self.process is not None
        while (code := self.process.poll()) is None:
            if time.monotonic() - self.started > limit:
                self.end()
                message = f"compiling took more than {limit / 60:.0f} minutes"
                raise HostError(message, fix=f"tail {self.log}", log=self.log)
            detail.append(stage())
            time.sleep(_POLL)
        self.process = None
        if code != 0:
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            cause = lines[-1] if lines else "no output"
            raise HostError(f"compiling failed: {cause}", fix=f"tail -n 40 {self.log}", log=self.log)

    def end(self) -> None:
        """End it and all it started; without effect when it has ended."""
        if self.process is not None:
            proc.end_group(self.process.pid)
            self.process.wait()
            self.process = None
