"""Records the tutorials' pictures from a real terminal: `python docs/tutorials/record.py LAB en|ko`.

LAB is the directory of a lab with at least two workers, on which no drill is open. Every line is typed into tmux as a
student would, and the next one when the prompt is back; the picture is what the terminal then shows, shortened nowhere.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
COLUMNS, LINES = 112, 80
PROMPT = "student$ "
DEADLINE_SECONDS = 240.0
FONTS = "DejaVu Sans Mono, Menlo, Consolas, D2Coding, NanumGothicCoding, monospace"
SCRIPT = (
    "labctl drill start kubelet-down{lang}",
    "labctl kubectl -- get nodes",
    "labctl drill hint{lang}",
    'labctl drill check{lang}; echo "exit code $?"',
    "labctl ssh {worker} -- systemctl is-active kubelet",
    "labctl ssh {worker} -- sudo systemctl start kubelet",
    "labctl kubectl -- wait --for=condition=Ready node --all --timeout=60s",
    "labctl kubectl -- -n drill wait --for=delete pod/nginx --timeout=60s",
    'labctl drill check{lang}; echo "exit code $?"',
    "labctl drill reset{lang}",
)


class Terminal:
    """A shell in a tmux server of its own, in which somebody types."""

    def __init__(self, lab: Path, socket: Path) -> None:
        self._tmux = ("tmux", "-S", str(socket))
        self._typed = 0
        env = {**os.environ, "PATH": f"{ROOT}:{os.environ['PATH']}", "PS1": PROMPT, "LABCTL_OFFLINE": "1"}
        size = ("-x", str(COLUMNS), "-y", str(LINES))
        shell = ("bash", "--noprofile", "--norc", "-i")
        argv = [*self._tmux, "-f", "/dev/null", "new-session", "-d", *size, "-c", str(lab), *shell]
        subprocess.run(argv, env=env, check=True)
        subprocess.run([*self._tmux, "set-option", "-g", "status", "off"], check=True)

    def type(self, line: str) -> None:
        """Type a line at the prompt and wait until the next is there. Raises TimeoutError."""
        self._await_prompts(self._typed + 1)
        subprocess.run([*self._tmux, "send-keys", "-l", line], check=True)
        subprocess.run([*self._tmux, "send-keys", "Enter"], check=True)
        self._typed += 1
        self._await_prompts(self._typed + 1)

    def _await_prompts(self, count: int) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (shown := self.text()).count(PROMPT.strip()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no prompt within {DEADLINE_SECONDS:.0f} s:\n{shown}")
            time.sleep(0.2)

    def text(self, *options: str) -> str:
        """What the terminal shows, what scrolled away included."""
        argv = [*self._tmux, "capture-pane", "-p", "-J", "-S", "-", *options]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def close(self) -> None:
        """End the tmux server."""
        subprocess.run([*self._tmux, "kill-server"], check=False)


def labctl(lab: Path, *arguments: str) -> str:
    """What labctl answers in the lab's directory."""
    argv = [str(ROOT / "labctl"), *arguments]
    return subprocess.run(argv, cwd=lab, capture_output=True, text=True, check=True).stdout


def picture(screen: str, title: str) -> str:
    """The terminal's text, with its colours, as an SVG that needs no font from outside."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(screen.rstrip()))
    drawn = console.export_svg(title=title, theme=DEFAULT_TERMINAL_THEME)
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    return drawn.replace("font-family: Fira Code, monospace", f"font-family: {FONTS}")


def main() -> None:
    """Record one language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab", type=Path)
    parser.add_argument("language", choices=("en", "ko"))
    chosen = parser.parse_args()
    korean = chosen.language == "ko"
    # The drill silences the last worker, as `kubectl get nodes` shows.
    worker = json.loads(labctl(chosen.lab, "status", "--output", "json"))["machines"][-1]["name"]
    with tempfile.TemporaryDirectory(prefix="labctl-record-") as place:
        terminal = Terminal(chosen.lab, Path(place) / "tmux")
        try:
            for line in SCRIPT:
                terminal.type(line.format(lang=" --lang ko" if korean else "", worker=worker))
            screen = terminal.text("-e")
        finally:
            terminal.close()
    target = Path(__file__).with_name("kubelet-down.ko.svg" if korean else "kubelet-down.svg")
    drawn = picture(screen, "labctl drill start kubelet-down")
    target.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
