"""The private Docker engine: started for the labs alone, recorded, and ended with every trace of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import paths, proc
from orchestrator.errors import HostError
from orchestrator.events import Emit, Note
from orchestrator.providers import host_state as engine_traces

START_SECONDS = 60
STOP_SECONDS = 30

# As the kernel shows the names of processes, cut at 15 characters.
ENGINE_PROGRAMS = ("dockerd", "containerd", "containerd-shim")

# What dockerd needs beside itself; a user's PATH often lacks the sbin directories they live in.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class OwnEngine:
    """Where the private engine keeps its things: all of it in the runtime directory but the images."""

    directory: Path

    @property
    def socket(self) -> Path:
        return self.directory / "docker.sock"

    @property
    def state(self) -> Path:
        return self.directory / "state.json"

    @property
    def log(self) -> Path:
        return self.directory / "dockerd.log"

    @property
    def exec_root(self) -> Path:
        return self.directory / "exec"

    @property
    def lock(self) -> Path:
        return self.directory.with_name("engine.lock")

    @property
    def users(self) -> Path:
        return self.directory.with_name("engine.users")

    def read_state(self) -> dict[str, Any]:
        """What was recorded when it was started; empty when it never was."""
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the record as a whole, so that a kill leaves the old or the new one."""
        fresh = self.state.with_suffix(".new")
        fresh.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        fresh.replace(self.state)

    def process(self) -> int | None:
        """The id of the running dockerd that this record is about: same id and same start time."""
        state = self.read_state()
        pid = state.get("pid")
        if not isinstance(pid, int) or state.get("boot_id") != engine_traces.boot_id():
            return None
        return pid if start_time(pid) == state.get("started") else None


def own() -> OwnEngine:
    """The private engine of this user."""
    return OwnEngine(paths.runtime_dir() / "engine")


def data_root() -> Path:
    """Where the private engine keeps images: it stays in the cache so that the next lab starts warm."""
    return paths.cache_dir() / "engine"


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it does not exist (or is a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


class Lock:
    """A kernel file lock whose file may be removed by its holder: waiters notice and take the new file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, shared: bool = False, timeout: float = 0.0) -> bool:
        """Take the lock; False when somebody else still holds it after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_ino == self.path.stat().st_ino:
                    self._descriptor = descriptor
                    return True
            except (BlockingIOError, FileNotFoundError):
                pass
            os.close(descriptor)
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)

    def release(self, *, remove: bool = False) -> None:
        """Give the lock back; `remove` takes its file away too (only while holding it exclusively)."""
        if self._descriptor is None:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


@contextlib.contextmanager
def locked(engine: OwnEngine) -> Iterator[Lock]:
    """Be the only one who starts or stops the private engine."""
    lock = Lock(engine.lock)
    if not lock.acquire(timeout=START_SECONDS + STOP_SECONDS):
        raise HostError(f"another labctl has been starting or stopping Docker for too long ({engine.lock})")
    try:
        yield lock
    finally:
        lock.release()


def start(engine: OwnEngine, emit: Emit, phase: str, answers: Callable[[str], bool]) -> None:
    """Start dockerd for the labs alone: own socket, own directories, no default bridge, no file of the user's read."""
    dockerd = shutil.which("dockerd", path=SYSTEM_PATH)
    assert dockerd is not None  # engine.obstacle() looked
    engine.directory.mkdir(mode=0o700, exist_ok=True)
    before = engine.read_state()
    if before.get("boot_id") != engine_traces.boot_id():
        before = {"boot_id": engine_traces.boot_id(), "before": engine_traces.look().as_dict()}
    root = data_root()
    root.mkdir(mode=0o700, exist_ok=True)
    engine.write_state({**before, "pid": None, "data_root": str(root)})
    if (left := _left_running(engine)) is not None:
        engine.write_state({**engine.read_state(), "pid": left, "started": start_time(left)})
        _await(engine, left, answers)
        return
    for stale in (engine.socket, engine.directory / "docker.pid", *_dead_pid_file(engine)):
        stale.unlink(missing_ok=True)
    config = engine.directory / "daemon.json"
    config.write_text("{}\n", encoding="utf-8")
    emit(
        Note(
            phase=phase,
            text="no Docker engine answers: starting a private one; it turns on net.ipv4.ip_forward and adds DOCKER "
            "firewall chains, all undone when the last lab is destroyed",
        )
    )
    pid = proc.spawn(
        [
            dockerd,
            f"--config-file={config}",
            f"--data-root={root}",
            f"--exec-root={engine.exec_root}",
            f"--pidfile={engine.directory / 'docker.pid'}",
            f"--host=unix://{engine.socket}",
            "--bridge=none",
            f"--cgroup-parent={engine_traces.CGROUP}",
            "--group=root",
        ],
        log=engine.log,
        env={"PATH": f"{SYSTEM_PATH}:{os.environ.get('PATH', '')}"},
        cwd=Path("/"),
    )
    engine.write_state({**engine.read_state(), "pid": pid, "started": start_time(pid)})
    _await(engine, pid, answers)


def _await(engine: OwnEngine, pid: int, answers: Callable[[str], bool]) -> None:
    """Wait until the engine answers. Raises HostError with the last line it logged."""
    deadline = time.monotonic() + START_SECONDS
    while not answers(f"unix://{engine.socket}"):
        if start_time(pid) is None or time.monotonic() > deadline:
            raise HostError(f"Docker does not start: {last_line(engine.log)}", log=engine.log, fix=f"less {engine.log}")
        time.sleep(0.05)


def _dead_pid_file(engine: OwnEngine) -> list[Path]:
    """containerd's pid file when its process is gone: dockerd takes a zombie for alive and waits for it in vain."""
    file = engine.exec_root / "containerd" / "containerd.pid"
    try:
        return [] if start_time(int(file.read_text(encoding="ascii"))) is not None else [file]
    except (FileNotFoundError, ValueError):
        return [file]


def _left_running(engine: OwnEngine) -> int | None:
    """A dockerd of ours that a killed labctl started and could not record any more."""
    return next((pid for pid in _of_ours(engine) if _comm(pid) == "dockerd"), None)


def _of_ours(engine: OwnEngine) -> Iterator[int]:
    """Processes whose command line names the private engine's own directory: dockerd, containerd, its shims."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            pid = int(path.parent.name)
            if f"{engine.directory}/".encode() in path.read_bytes() and _comm(pid) in ENGINE_PROGRAMS:
                yield pid


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def last_line(log: Path) -> str:
    """The last line of a daemon's log, without logrus's time and level where the message stands in quotes."""
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return "it left no log"
    line = lines[-1].strip() if lines else "its log is empty"
    _, found, message = line.partition(' msg="')
    return message.rpartition('"')[0] if found else line


def stop(engine: OwnEngine, emit: Emit, phase: str) -> None:
    """End the private dockerd (its recorded process and no other) and undo what it did to the host."""
    state = engine.read_state()
    pid = engine.process()
    for process in ([pid] if pid is not None else [], _of_ours(engine)):  # dockerd first: it ends its children
        for each in process:
            _end(each)
    if "before" in state:
        before = engine_traces.HostBefore.from_dict(state["before"])
        engine_traces.clean(before, directories=(engine.directory, Path(state["data_root"])))
    shutil.rmtree(engine.directory, ignore_errors=True)
    emit(Note(phase=phase, text="the last lab is gone: the private Docker engine is stopped, the host is as before"))


def _end(pid: int) -> None:
    """Ask a process to end, and make it end when it does not."""
    started = start_time(pid)
    for sign, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        if started is None or _gone(pid, started, seconds):
            return


def _gone(pid: int, started: int, seconds: float) -> bool:
    """Wait for the end of a process, reaping it when it is our child."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if start_time(pid) != started:
            return True
        time.sleep(0.05)
    return False
