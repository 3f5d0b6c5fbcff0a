"""The only module that starts processes: run to the end, stream lines, or stay in the background."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Result:
    """The result of a process that ended: exit code, decoded stdout and stderr (stderr is empty when merged)."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def tail(self) -> str:
        """The last non-empty line of the output, which usually names the cause."""
        lines = [line for line in (self.stdout + "\n" + self.stderr).splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""


class ProcessFailed(Exception):
    """A process that had to succeed failed; `timed_out` says whether its deadline ended it."""

    def __init__(self, result: Result, *, timed_out: bool = False) -> None:
        why = "timed out" if timed_out else f"exited with {result.code}"
        super().__init__(f"{result.argv[0]} {why}: {result.tail}")
        self.result = result
        self.timed_out = timed_out


def _start(argv: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None = None, **streams: Any) -> Process:
    """A process that leads a group of its own, with a fixed locale so that programs can read its output."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}
    return subprocess.Popen(argv, env=environment, cwd=cwd, start_new_session=True, **streams)


def end_group(pid: int, grace: float = 5.0) -> None:
    """End the process group that `pid` leads: SIGTERM, then SIGKILL once the leader ended or `grace` seconds passed.

    The leader must be a child of this process that was not waited for, so that its id cannot be another's.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
    done = threading.Event()

    def kill_late() -> None:
        if not done.wait(grace):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    late = threading.Thread(target=kill_late, daemon=True)
    late.start()
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    done.set()
    late.join()
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses when only the leader is left
        os.killpg(pid, signal.SIGKILL)


def with_parent_death_signal(*argv: str) -> list[str]:
    """The command line of a process that is ended (SIGTERM) when the process that starts it dies."""
    return ["setpriv", "--pdeathsig", "TERM", "--", *argv]


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | bytes | Path | None = None,
) -> Result:
    """Run a program to its end and return its output; `stdin` is what it reads, or the file that it reads.

    Raises ProcessFailed on a non-zero exit (unless `check` is False) and always when `timeout` seconds
    pass; raises FileNotFoundError when the program does not exist. The process is its own group and the
    whole group ends with it on timeout or Ctrl-C.
    """
    if isinstance(stdin, Path):
        data = None
        with stdin.open("rb") as file:
            process = _start(argv, env, cwd, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    else:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        source = subprocess.DEVNULL if data is None else subprocess.PIPE
        process = _start(argv, env, cwd, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(data, timeout=timeout)
    except subprocess.TimeoutExpired:
        end_group(process.pid)
        out, err = process.communicate()
        raise ProcessFailed(_result(argv, process.returncode, out, err), timed_out=True) from None
    except BaseException:
        end_group(process.pid)
        process.communicate()
        raise
    return _checked(_result(argv, process.returncode, out, err), check)


def _result(argv: Sequence[str], code: int, out: bytes, err: bytes) -> Result:
    return Result(tuple(argv), code, out.decode(errors="replace"), err.decode(errors="replace"))


def _checked(result: Result, check: bool) -> Result:
    if check and not result.ok:
        raise ProcessFailed(result)
    return result


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    timeout: float,
    log: Path | None = None,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = 5.0,
) -> Result:
    """Run a program, hand each line of its merged output to `on_line` as it comes, append all to `log`.

    On timeout or Ctrl-C the program has `grace` seconds to clean up. Raises as `run` does. The returned
    stdout holds the last 200 lines.
    """
    process = _start(argv, env, cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end_group(process.pid, grace)

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    last: deque[str] = deque(maxlen=200)
    try:
        with contextlib.ExitStack() as stack:
            sink = stack.enter_context(log.open("a", encoding="utf-8")) if log else None
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip("\n")
                if sink is not None:
                    sink.write(line + "\n")
                    sink.flush()
                last.append(line)
                on_line(line)
        process.wait()
    except BaseException:
        end_group(process.pid, grace)
        process.wait()
        raise
    finally:
        timer.cancel()
    result = Result(tuple(argv), process.returncode, "\n".join(last), "")
    if expired.is_set():
        raise ProcessFailed(result, timed_out=True)
    return _checked(result, check)


def spawn(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
    """Start a background process that outlives this one, its output appended to `log` (mode 0600).

    Who needs its exit code keeps the returned process: the code of one that nobody holds is lost.
    """
    descriptor = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        return _start(argv, env, cwd, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=subprocess.STDOUT)
    finally:
        os.close(descriptor)


def foreground(argv: Sequence[str]) -> int:
    """Run a program on this process's own terminal, which Ctrl-C reaches as well, and return its exit code."""
    return subprocess.run(argv, check=False).returncode


def replace(argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Replace this process by another program (ssh, kubectl), which gives the terminal and the exit code."""
    os.execvpe(argv[0], list(argv), {**os.environ, **(env or {})})


class Attached:
    """A running process whose three streams its caller reads and writes, none of which blocks.

    `stdin`, `stdout` and `stderr` are file descriptors in non-blocking mode, made for a selector.
    """

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._streams = (process.stdin, process.stdout, process.stderr)
        self.stdin, self.stdout, self.stderr = (stream.fileno() for stream in self._streams)
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)

    def end(self, grace: float = 1.0) -> None:
        """Close the streams, give the process `grace` seconds to end by itself, then end its group."""
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.close()
        try:
            self._process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            end_group(self._process.pid, grace=grace)
            self._process.wait()


def attach(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> Attached:
    """Start a process to talk with over its streams; raises FileNotFoundError when the program does not exist."""
    pipe = subprocess.PIPE
    return Attached(_start(argv, env, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0))
