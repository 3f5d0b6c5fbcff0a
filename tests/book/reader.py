"""Somebody who types the book: `labctl ssh` on a pty for each window, and the rows one after the other."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import termios
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import pytest

from orchestrator.lab.state import open_lab
from tests.book.rows import Row, fill, images
from tests.e2e.conftest import User

ANSWER_SECONDS = 90.0
HANGS_SECONDS = 4.0
# Of the node's shell, which is given this prompt, and of a shell in a pod.
PROMPT = re.compile(r"(?:^|\n)(?:book:[a-z0-9-]+> |(?:[^\n]*@nginx-pod:[^\n]*|bash-[0-9.]+)# )\Z")
MANIFESTS = Path(__file__).with_name("manifests")


class Terminal:
    """A window with a root shell on a node."""

    def __init__(self, user: User, node: str) -> None:
        ours, theirs = pty.openpty()
        settings = termios.tcgetattr(theirs)
        settings[1] &= ~termios.ONLCR
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        self.ours, self.unread = ours, ""
        # What the shell would draw with (colours, bracketed paste) is no part of an answer.
        environment = {**user.environment, "TERM": "dumb"}
        self.process = subprocess.Popen(
            [*user.labctl, "ssh", node], cwd=user.home, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.send("sudo -i\n")
        self.send("stty -echo cols 250; PS1='book:\\h> '; cd; echo rea''dy\n")
        self.read_until(re.compile(r"ready\nbook:[a-z0-9-]+> \Z"), ANSWER_SECONDS)
        self.unread = ""

    def send(self, text: str) -> None:
        """Type a text."""
        os.write(self.ours, text.encode())

    def read(self, seconds: float) -> bool:
        """Take what is printed within some seconds; whether anything was."""
        if not select.select([self.ours], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):  # the other end is closed: the shell has ended
            self.unread += os.read(self.ours, 65536).decode(errors="replace").replace("\r", "")
            return True
        return False

    def read_until(self, pattern: re.Pattern[str], seconds: float) -> bool:
        """Read until what was printed matches, at most some seconds; whether it does."""
        deadline = time.monotonic() + seconds
        while not pattern.search(self.unread) and self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.2)
        return bool(pattern.search(self.unread))

    def type(self, command: str, seconds: float = ANSWER_SECONDS) -> str:
        """Type a line and return its answer without the prompt after it; None of it may be left unread before."""
        self.unread = ""
        self.send(command + "\n")
        if not self.read_until(PROMPT, seconds):
            return self.unread
        return PROMPT.sub("\n", self.unread).lstrip("\n")

    def forget(self) -> None:
        """Look away from all that was printed so far."""
        while self.read(0):
            pass
        self.unread = ""

    def interrupt(self) -> str:
        """Press Ctrl+C and return all that was printed."""
        self.send("\x03")
        self.read_until(PROMPT, ANSWER_SECONDS)
        return self.unread

    def close(self) -> None:
        """Hang up."""
        os.close(self.ours)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(10)


class Reader:
    """A user at a lab with the book open."""

    def __init__(self, user: User, minor: str) -> None:
        self.user, self.minor = user, minor
        self.kept: dict[str, str] = {}
        self.windows: dict[tuple[str, str], Terminal] = {}

    def __enter__(self) -> Reader:
        self.put_manifests()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for window in self.windows.values():
            window.close()
        if kind:
            self.user.run("exec", "--", "sudo systemctl start kubelet")
            self.user.run("ssh", "m-k8s", "--", "sudo kubectl --kubeconfig /etc/kubernetes/admin.conf uncordon -l '!x'")
        self.user.run("ssh", "m-k8s", "--", f"sudo sh -c {shlex.quote(self.removal)}")

    @property
    def removal(self) -> str:
        """What takes the reader's objects away; the folder only where the test has put it."""
        kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf delete deployment,pod --all --wait=false"
        return f"{kubectl}; [ ! -e /root/_Book_k8sInfra/.of-test ] || rm -rf /root/_Book_k8sInfra"

    def put_manifests(self) -> None:
        """Make ~/_Book_k8sInfra of root on m-k8s where the lab has none."""
        lines = ["cd /root; [ ! -e _Book_k8sInfra ] || exit 0"]
        for path in sorted(MANIFESTS.rglob("*.yaml")):
            target = f"_Book_k8sInfra/ch3/{path.relative_to(MANIFESTS)}"
            lines.append(f"install -D -m 644 /dev/stdin {target} <<'END'\n{path.read_text(encoding='utf-8')}END")
        lines.append("touch _Book_k8sInfra/.of-test")
        self.user.good("ssh", "m-k8s", "--", f"sudo bash -c {shlex.quote(chr(10).join(lines))}")

    def work_through(self, rows: Iterable[Row]) -> None:
        """Type the rows in their order; the first whose answer is not as expected fails, with the answer."""
        for row in rows:
            answer, problems = self.observe(row)
            assert not problems, f"{row.section}, {row.where}: {row.command}\n{'; '.join(problems)}\n{answer}"
            self.kept |= row.kept(answer, self.kept)

    def observe(self, row: Row) -> tuple[str, list[str]]:
        """The answer to a row, and what of it is not as expected; typed again for as long as the row allows."""
        deadline = time.monotonic() + row.within
        is_typed = False
        while True:
            answer = self.answer(row, again=is_typed)
            is_typed = True
            problems = row.problems(answer, self.minor, self.kept)
            if not problems or time.monotonic() >= deadline:
                return answer, problems
            if not (row.look or row.leave):
                # At once again would keep the API server from what is waited for.
                select.select([], [], [], 0.5)

    def answer(self, row: Row, *, again: bool = False) -> str:
        """Type a row's command once and return what is seen; again, what goes on is only looked at."""
        command = fill(row.command, self.kept)
        for printed, typed in images().items():
            command = re.sub(rf"{re.escape(printed)}(?=\s|$)", typed, command)
        if row.where == "host":
            return self.on_host(command)
        window = self.window(row)
        if row.interrupt:
            if not row.look:
                window.type(command, HANGS_SECONDS)
            return window.interrupt()
        if not (row.leave or row.look):
            return window.type(command)
        if not again:
            window.forget()
            window.send(f"{command}\n" if row.leave else "")
        window.read(1.0)
        return window.unread

    def window(self, row: Row) -> Terminal:
        """The terminal of a row, opened when it is named for the first time."""
        node = "m-k8s" if row.where == "pod" else fill(row.where, self.kept)
        key = (node, row.terminal)
        if key not in self.windows:
            self.windows[key] = Terminal(self.user, node)
        return self.windows[key]

    def on_host(self, command: str) -> str:
        """Run a line in the reader's directory."""
        path = f"{Path(self.user.labctl[0]).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.user.home, env={**self.user.environment, "PATH": path},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        return done.stdout + done.stderr


def minor_of(user: User) -> str:
    """The minor of the Kubernetes of a user's lab."""
    kubernetes = open_lab(user.home / "lab.yml").plan.kubernetes
    assert kubernetes
    return ".".join(kubernetes.version.split(".")[:2])


def type_book(user: User, minor: str, rows: Iterable[Row]) -> None:
    """Type these rows at a lab of this minor of Kubernetes, and put the lab back."""
    chosen = list(rows)
    if not chosen:
        pytest.fail("no rows")
    with Reader(user, minor) as reader:
        reader.work_through(chosen)
