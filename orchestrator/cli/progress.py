"""How a running verb looks: a live view on a terminal, plain lines elsewhere, JSON lines with `--progress jsonl`."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from orchestrator.events import Emit, Event, Note, PhaseEnded, PhaseStarted, Step

if TYPE_CHECKING:
    from rich.console import Console, Group

HEARTBEAT_SECONDS = 15.0
_MARK = {"ok": "✓", "failed": "✗", "interrupted": "!"}


class View(Protocol):
    """Something that shows events while a verb runs; `show` is called from any thread, one at a time."""

    def start(self) -> None: ...

    def show(self, event: Event) -> None: ...

    def stop(self) -> None: ...


class JsonLines:
    """One JSON object per event, for programs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def start(self) -> None:
        return

    def show(self, event: Event) -> None:
        self._stream.write(json.dumps(event.as_dict(), ensure_ascii=False) + "\n")
        self._stream.flush()

    def stop(self) -> None:
        return


class PlainLines:
    """One line per phase and per step that did something; a sign of life when nothing was said for a while.

    A step is told when it has a result, or after a second when it takes longer: most of Ansible's tasks begin only
    to be skipped, and a line for each would bury the others.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._said = time.monotonic()
        self._current = ""
        self._last = ""
        self._pending = ""
        self._pending_since = 0.0
        self._done = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def start(self) -> None:
        self._ticker.start()

    def stop(self) -> None:
        self._done.set()
        self._ticker.join()

    def show(self, event: Event) -> None:
        self._current = _current(event) or self._current
        if isinstance(event, Step) and event.status not in ("failed", "unreachable"):
            self._step(event)
            return
        line = _plain(event)
        if line:
            self._tell(line)

    def _step(self, event: Step) -> None:
        line = f"   {event.name}"
        if event.status in ("ok", "changed"):
            self._pending = ""
            self._tell(line)
        elif event.status == "running" and line not in (self._pending, self._last):
            self._pending, self._pending_since = line, time.monotonic()
        elif event.status == "skipped" and line == self._pending:
            self._pending = ""

    def _tell(self, line: str) -> None:
        if line != self._last:
            self._last = line
            self._say(line)

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        self._stream.write(f"{_clock(time.monotonic() - self._began)} {line}\n")
        self._stream.flush()

    def _tick(self) -> None:
        while not self._done.wait(0.5):
            if self._pending and time.monotonic() - self._pending_since > 1.0:
                line, self._pending = self._pending, ""
                self._tell(line)
            if time.monotonic() - self._said > HEARTBEAT_SECONDS:
                self._say(f"   ... {self._current or 'working'}")


class Live:
    """The current phase with elapsed time and, below it, what every node does now; finished phases scroll up."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live as RichLive

        self._console = console
        self._title = ""
        self._phase_began = self._began = time.monotonic()
        self._steps: dict[str, str] = {}
        self._live = RichLive(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self._title, self._phase_began = event.title, time.monotonic()
            self._steps.clear()
        elif isinstance(event, PhaseEnded):
            colour = "green" if event.result == "ok" else "red"
            title = self._title or event.phase
            self._console.print(
                f"[{colour}]{_MARK.get(event.result, '·')}[/] {title} [dim]{event.seconds:.1f} s[/]", highlight=False
            )
            self._steps.clear()
            self._title = ""
        elif isinstance(event, Note):
            self._console.print(f"  [dim]{event.text}[/]", highlight=False)
        elif isinstance(event, Step):
            self._step(event)

    def _step(self, event: Step) -> None:
        if event.status in ("failed", "unreachable"):
            self._console.print(f"[red]✗ {event.node} {event.name}[/] {event.detail}", highlight=False)
        remaining = f" (about {event.remaining:.0f} s left)" if event.remaining else ""
        self._steps[event.node] = f"{event.name}{remaining}"

    def _render(self) -> Group:
        from rich.console import Group as RichGroup
        from rich.spinner import Spinner
        from rich.text import Text

        now = time.monotonic()
        head = f"{self._title or 'working'}  {_clock(now - self._phase_began)}  (all {_clock(now - self._began)})"
        rows = [Text(f"    {node:<10} {step}" if node else f"    {step}", overflow="ellipsis", no_wrap=True)
                for node, step in sorted(self._steps.items())]  # fmt: skip
        return RichGroup(Spinner("dots", text=Text(head)), *rows)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


def _current(event: Event) -> str:
    if isinstance(event, PhaseStarted):
        return event.title
    if isinstance(event, Step):
        remaining = f" (about {event.remaining:.0f} s left)" if event.remaining else ""
        return f"{event.node}: {event.name}{remaining}" if event.node else f"{event.name}{remaining}"
    return ""


def _plain(event: Event) -> str:
    """The line an event is worth, empty when it is worth none."""
    if isinstance(event, PhaseStarted):
        return f"== {event.title}"
    if isinstance(event, PhaseEnded):
        detail = f": {event.detail}" if event.detail else ""
        return f"   {event.result}, {event.seconds:.1f} s{detail}"
    if isinstance(event, Note):
        return f"   {event.text}"
    if isinstance(event, Step):
        return f"   FAILED {event.node} {event.name}: {event.detail}"
    return ""


def choose_view(mode: str, quiet: bool) -> View | None:
    """The view for `--progress auto|plain|jsonl|none`; auto is live on a terminal and plain lines elsewhere."""
    if quiet or mode == "none":
        return None
    if mode == "jsonl":
        return JsonLines(sys.stderr)
    if mode == "plain" or not sys.stderr.isatty():
        return PlainLines(sys.stderr)
    from rich.console import Console

    return Live(Console(stderr=True))


@contextmanager
def showing(view: View | None) -> Iterator[Emit]:
    """An `Emit` that feeds the view for as long as the block runs."""
    if view is None:
        yield lambda event: None
        return
    lock = threading.Lock()

    def emit(event: Event) -> None:
        with lock:
            view.show(event)

    view.start()
    try:
        yield emit
    finally:
        view.stop()
