"""One run drawn over time: what each node did, and which chain of steps made the run take as long as it did."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.events import Emit, Event, PhaseEnded, PhaseStarted, Step
from orchestrator.paths import replacing

PHASES = "phases"
ONCE = "once for all"
# Seconds: shorter steps are no more than a line, and most are tasks that found nothing to do.
SHORTEST = 0.05
# Seconds between the end of a step and the start of the one that waited for it.
GAP = 0.3
# Pixels.
LEFT, WIDTH, ROW, TEXT = 110, 1100, 26, 6.2
_STYLE = """
text { font: 11px sans-serif; fill: #222 }
.bar { fill: #9ecae1; stroke: #fff; stroke-width: .5 }
.phase { fill: #e5e5e5; stroke: #fff }
.chain { fill: #e6550d; stroke: #fff; stroke-width: .5 }
.axis { stroke: #ddd }
"""


@dataclass(frozen=True)
class Bar:
    """One step on one lane; times in seconds since the first event."""

    lane: str
    name: str
    start: float
    end: float


@contextmanager
def drawn(emit: Emit, file: Path | None) -> Iterator[Emit]:
    """An `Emit` that also draws the run into an SVG file when the block ends, however it ends, if there is a file."""
    if file is None:
        yield emit
        return
    events: list[Event] = []

    def record(event: Event) -> None:
        events.append(event)
        emit(event)

    try:
        yield record
    finally:
        with replacing(file, 0o644) as stream:
            stream.write(svg(bars(events)).encode())


def bars(events: Sequence[Event]) -> list[Bar]:
    """The bars of a run, in the order in which they ended; a step that never ended is left out."""
    first = min((event.at for event in events), default=0.0)
    begun: dict[tuple[str, str, str], float] = {}
    found: list[Bar] = []
    for event in events:
        at = event.at - first
        if isinstance(event, PhaseStarted):
            begun[PHASES, event.phase, ""] = at
        elif isinstance(event, PhaseEnded):
            found.append(Bar(PHASES, event.phase, begun.pop((PHASES, event.phase, ""), at), at))
        elif isinstance(event, Step):
            key = (event.node or ONCE, event.name, event.phase)
            if event.status == "running":
                begun.setdefault(key, at)
            elif at - (start := begun.pop(key, at)) >= SHORTEST:
                found.append(Bar(key[0], event.name, start, at))
    return found


def chain(steps: Sequence[Bar]) -> list[Bar]:
    """The steps that made the run as long as it was, the last first: each waited for the one that ended before it."""
    left = [step for step in steps if step.lane != PHASES]
    found: list[Bar] = []
    while left:
        found.append(max(left, key=lambda step: step.end))
        left = [step for step in left if step.end <= found[-1].start + GAP and step.start < found[-1].start]
    return found


def svg(found: Sequence[Bar]) -> str:
    """The drawing, one lane per node below that of the phases; the longest chain stands out."""
    lanes = [PHASES, *sorted({bar.lane for bar in found} - {PHASES, ONCE}), ONCE]
    seconds = max((bar.end for bar in found), default=1.0)
    scale = WIDTH / seconds
    marked = set(chain(found))
    height = ROW * (len(lanes) + 1) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{height}" role="img">',
        f"<title>{seconds:.1f} seconds; the longest chain: {sum(b.end - b.start for b in marked):.1f}</title>",
        f"<style>{_STYLE}</style>",
        *_axis(seconds, scale, height),
    ]
    for row, lane in enumerate(lanes):
        lines.append(f'<text x="4" y="{row * ROW + 17}">{html.escape(lane)}</text>')
        for bar in (bar for bar in found if bar.lane == lane):
            kind = "phase" if lane == PHASES else "chain" if bar in marked else "bar"
            lines += _drawn(bar, row, scale, kind)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _axis(seconds: float, scale: float, height: int) -> Iterator[str]:
    step = next(size for size in (1, 2, 5, 10, 30, 60, 120, 300, 600, 3600) if seconds / size <= 20 or size == 3600)
    for second in range(0, int(seconds) + 1, step):
        x = LEFT + second * scale
        yield f'<line class="axis" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height - 16}"/>'
        yield f'<text x="{x + 2:.1f}" y="{height - 4}">{second} s</text>'


def _drawn(bar: Bar, row: int, scale: float, kind: str) -> Iterator[str]:
    x, width = LEFT + bar.start * scale, max(1.0, (bar.end - bar.start) * scale)
    title = f"{html.escape(bar.name)}: {bar.end - bar.start:.1f} s, from {bar.start:.1f}"
    yield (
        f'<rect class="{kind}" x="{x:.1f}" y="{row * ROW + 3}" width="{width:.1f}" height="{ROW - 6}">'
        f"<title>{title}</title></rect>"
    )
    letters = int((width - 4) / TEXT)
    if letters >= 4:
        text = bar.name if len(bar.name) <= letters else f"{bar.name[: letters - 1]}…"
        yield f'<text x="{x + 2:.1f}" y="{row * ROW + 17}">{html.escape(text)}</text>'
