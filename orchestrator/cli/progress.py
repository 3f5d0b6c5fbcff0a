"""What a running command shows: a live view on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from orchestrator.events import Emit, Event, Note, PhaseEnded, PhaseStarted, Step, discard

if TYPE_CHECKING:
    from rich.console import Console, Group

HEARTBEAT_SECONDS = 15.0
# A step that takes longer than this is printed before it has a result.
SLOW_STEP_SECONDS = 1.0
_FAILED = ("failed", "unreachable")


@contextmanager
def show_progress(mode: str, stream: TextIO | None = None) -> Iterator[Emit]:
    """An `Emit` whose events are shown on stderr, as `--progress auto|plain|jsonl|none` says, while the block runs."""
    with showing(choose_view(mode, stream=stream or sys.stderr)) as emit:
        yield emit


class View:
    """Shows events while a command runs; `show` is called from any thread, one at a time."""

    def start(self) -> None:
        """Begin, before the first event."""

    def stop(self) -> None:
        """End, after the last event."""

    def show(self, event: Event) -> None:
        """Show one event."""
        raise NotImplementedError


class JsonLines(View):
    """One JSON object per event, for programs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, event: Event) -> None:
        self._stream.write(json.dumps(event.as_dict(), ensure_ascii=False) + "\n")
        self._stream.flush()


class PlainLines(View):
    """One line per phase and per step that did something, and a heartbeat during silence.

    A step is printed with its result, or before it when it is slow: most of Ansible's tasks start only to be
    skipped, and a line for each would bury the others.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = self._written = time.monotonic()
        self._current = "working"
        self._last = ""
        self._pending = ""
        self._pending_since = 0.0
        self._stopped = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def start(self) -> None:
        self._ticker.start()

    def stop(self) -> None:
        self._stopped.set()
        self._ticker.join()

    def show(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self._current = event.title
            self._write_new(f"== {event.title}")
        elif isinstance(event, PhaseEnded):
            detail = f": {event.detail}" if event.detail else ""
            self._write_new(f"   {event.result}, {event.seconds:.1f} s{detail}")
        elif isinstance(event, Note):
            self._write_new(f"   {event.text}")
        elif isinstance(event, Step):
            self._current = f"{event.node}: {_step_text(event)}" if event.node else _step_text(event)
            self._show_step(event)

    def _show_step(self, event: Step) -> None:
        line = f"   {event.name}"
        if event.status in _FAILED:
            self._write_new(f"   FAILED {event.node} {event.name}: {event.detail}")
        elif event.status in ("ok", "changed"):
            self._pending = ""
            self._write_new(line)
        elif event.status == "running" and line not in (self._pending, self._last):
            self._pending, self._pending_since = line, time.monotonic()
        elif event.status == "skipped" and line == self._pending:
            self._pending = ""

    def _write_new(self, line: str) -> None:
        """Write a line, once when many nodes report the same."""
        if line != self._last:
            self._last = line
            self._write(line)

    def _write(self, line: str) -> None:
        self._written = time.monotonic()
        self._stream.write(f"{_clock(self._written - self._started)} {line}\n")
        self._stream.flush()

    def _tick(self) -> None:
        while not self._stopped.wait(0.5):
            if self._pending and time.monotonic() - self._pending_since > SLOW_STEP_SECONDS:
                line, self._pending = self._pending, ""
                self._write_new(line)
            if time.monotonic() - self._written > HEARTBEAT_SECONDS:
                self._write(f"   ... {self._current}")


class Live(View):
    """The current phase with elapsed time and, below it, the step of every node; finished phases scroll up."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live as RichLive

        self._console = console
        self._title = ""
        self._phase_started = self._started = time.monotonic()
        self._steps: dict[str, str] = {}
        live = RichLive(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)
        self.start, self.stop = live.start, live.stop  # type: ignore[method-assign]

    def show(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self._title, self._phase_started = event.title, time.monotonic()
            self._steps.clear()
        elif isinstance(event, PhaseEnded):
            mark = {"ok": "[green]✓[/]", "interrupted": "[red]![/]"}.get(event.result, "[red]✗[/]")
            self._print(f"{mark} {self._title or event.phase} [dim]{event.seconds:.1f} s[/]")
            self._title = ""
            self._steps.clear()
        elif isinstance(event, Note):
            self._print(f"  [dim]{event.text}[/]")
        elif isinstance(event, Step):
            if event.status in _FAILED:
                self._print(f"[red]✗ {event.node} {event.name}[/] {event.detail}")
            self._steps[event.node] = _step_text(event)

    def _print(self, markup: str) -> None:
        self._console.print(markup, highlight=False)

    def _render(self) -> Group:
        from rich.console import Group as RichGroup
        from rich.spinner import Spinner
        from rich.text import Text

        now = time.monotonic()
        phase, total = _clock(now - self._phase_started), _clock(now - self._started)
        head = Spinner("dots", text=Text(f"{self._title or 'working'}  {phase}  (total {total})"))
        lines = [f"    {node:<10} {step}" if node else f"    {step}" for node, step in sorted(self._steps.items())]
        return RichGroup(head, *(Text(line, overflow="ellipsis", no_wrap=True) for line in lines))


def _step_text(step: Step) -> str:
    remaining = f" (about {step.remaining:.0f} s left)" if step.remaining else ""
    return f"{step.name}{remaining}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


def choose_view(mode: str, quiet: bool = False, stream: TextIO | None = None) -> View | None:
    """The view of a mode; `auto` is live on a terminal and plain lines elsewhere."""
    stream = stream or sys.stderr
    if quiet or mode == "none":
        return None
    if mode == "jsonl":
        return JsonLines(stream)
    if mode == "plain" or not stream.isatty():
        return PlainLines(stream)
    from rich.console import Console

    return Live(Console(file=stream))


@contextmanager
def showing(view: View | None) -> Iterator[Emit]:
    """An `Emit` that feeds the view while the block runs."""
    if view is None:
        yield discard
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
