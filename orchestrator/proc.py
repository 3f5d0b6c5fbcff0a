"""The only module that starts processes: run to the end, stream lines, or stay in the background."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Result:
    """What a finished process left: exit code, decoded stdout and stderr (stderr is empty when merged)."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def tail(self) -> str:
        """The last non-empty line the process wrote, the one that usually names the cause."""
        lines = [line for line in (self.stdout + "\n" + self.stderr).splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""


class ProcessFailed(Exception):
    """A process that had to succeed did not; `result` says all, `timed_out` whether the deadline ended it."""

    def __init__(self, result: Result, *, timed_out: bool = False) -> None:
        why = "ran into its time limit" if timed_out else f"exited with {result.code}"
        super().__init__(f"{result.argv[0]} {why}: {result.tail}")
        self.result = result
        self.timed_out = timed_out


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """The caller's environment plus `env`, with a fixed locale so that output can be read by programs."""
    return {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}


def end_group(pid: int, grace: float = 5.0) -> None:
    """End the process group that `pid` leads: SIGTERM, then SIGKILL after `grace` seconds.

    The leader must be our own, not yet reaped child, so that its id cannot belong to anybody else.
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


def mortal(*argv: str) -> list[str]:
    """The command line, told to end itself (SIGTERM) when the process that starts it dies."""
    return ["setpriv", "--pdeathsig", "TERM", "--", *argv]


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | bytes | None = None,
) -> Result:
    """Run a program to its end and return its output.

    Raises ProcessFailed on a non-zero exit (unless `check` is False) and always when `timeout` seconds
    pass; raises FileNotFoundError when the program does not exist. The process is its own group and the
    whole group ends with it on timeout or Ctrl-C.
    """
    data = stdin.encode() if isinstance(stdin, str) else stdin
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(env),
        cwd=cwd,
        start_new_session=True,
    )
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
    result = _result(argv, process.returncode, out, err)
    if check and not result.ok:
        raise ProcessFailed(result)
    return result


def _result(argv: Sequence[str], code: int, out: bytes, err: bytes) -> Result:
    return Result(tuple(argv), code, out.decode(errors="replace"), err.decode(errors="replace"))


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
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(env),
        cwd=cwd,
        start_new_session=True,
    )
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end_group(process.pid, grace)

    timer = threading.Timer(timeout, expire)
    timer.daemon = True
    timer.start()
    last: list[str] = []
    try:
        with contextlib.ExitStack() as stack:
            sink: IO[str] | None = None
            if log is not None:
                sink = stack.enter_context(log.open("a", encoding="utf-8"))
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip("\n")
                if sink is not None:
                    sink.write(line + "\n")
                    sink.flush()
                last = [*last[-199:], line]
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
    if check and not result.ok:
        raise ProcessFailed(result)
    return result


def spawn(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> int:
    """Start a background process that outlives this one, its output appended to `log` (mode 0600); return its id."""
    descriptor = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            env=_environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    return process.pid


def replace(argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Become another program (ssh, kubectl) so that the terminal and the exit code are entirely its own."""
    os.execvpe(argv[0], list(argv), _environment_untouched(env))


def _environment_untouched(env: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(env or {})}


class Attached:
    """A running process whose three streams the caller reads and writes himself, none of which ever blocks.

    `stdin`, `stdout` and `stderr` are file descriptors in non-blocking mode, made for a selector.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.stdin = process.stdin.fileno()
        self.stdout = process.stdout.fileno()
        self.stderr = process.stderr.fileno()
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(descriptor, False)

    def end(self, grace: float = 1.0) -> None:
        """Close the streams, give the process `grace` seconds to leave by itself, then end its group."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        try:
            self._process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            end_group(self._process.pid, grace=grace)
            self._process.wait()


def attach(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> Attached:
    """Start a process to talk with over its streams; raises FileNotFoundError when the program does not exist."""
    return Attached(
        subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(env),
            start_new_session=True,
        )
    )
