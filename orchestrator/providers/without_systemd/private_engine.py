"""The private Docker engine: started for the labs alone, recorded, and stopped with everything it changed undone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import host, paths, proc
from orchestrator.errors import HostError
from orchestrator.events import Emit, Note
from orchestrator.providers.without_systemd import host_state
from orchestrator.providers.without_systemd.daemon import Lock, end_process, start_time

START_SECONDS = 60
STOP_SECONDS = 30

# As the kernel shows the names of processes, cut at 15 characters.
ENGINE_PROGRAMS = ("dockerd", "containerd", "containerd-shim")


@dataclass(frozen=True)
class OwnEngine:
    """Where the private engine keeps its files: all of it in the runtime directory but the images."""

    directory: Path

    @property
    def socket(self) -> Path:
        return self.directory / "docker.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

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
    def users(self) -> Path:
        return self.directory.with_name("engine.users")

    def read_state(self) -> dict[str, Any]:
        """What was recorded when it was started; empty when it never was."""
        return paths.read_json(self.state)

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the record."""
        paths.write_private(self.state, json.dumps(state, indent=2) + "\n")

    def process(self) -> int | None:
        """The id of the running dockerd that this record is about: same id and same start time."""
        state = self.read_state()
        pid = state.get("pid")
        if not isinstance(pid, int) or state.get("boot_id") != host_state.boot_id():
            return None
        return pid if start_time(pid) == state.get("started") else None


def own() -> OwnEngine:
    """The private engine of this user."""
    return OwnEngine(paths.runtime_dir() / "engine")


def data_root() -> Path:
    """Where the private engine keeps images: it stays in the cache so that the next lab starts warm."""
    return paths.cache_dir() / "engine"


def is_dormant() -> bool:
    """Whether the private engine is down but has containers on disk, as after a reboot of the host."""
    try:
        return any((data_root() / "containers").iterdir())
    except OSError:
        return False


@contextlib.contextmanager
def locked(engine: OwnEngine) -> Iterator[Lock]:
    """Be the only one who starts or stops the private engine."""
    lock = Lock(engine.directory.with_name("engine.lock"))
    if not lock.acquire(timeout=START_SECONDS + STOP_SECONDS):
        raise HostError(f"another labctl has been starting or stopping Docker for too long ({lock.path})")
    try:
        yield lock
    finally:
        lock.release()


def join() -> Lock:
    """The shared lock of a process that uses the engine: while it is held nobody stops the engine."""
    users = Lock(own().users)
    users.acquire(shared=True, timeout=5)
    return users


def leave(users: Lock, is_idle: Callable[[], bool], disconnect: Callable[[], None], emit: Emit, phase: str) -> None:
    """Give the shared lock back; an idle engine that nobody else uses is stopped and cleaned up after."""
    engine = own()
    with locked(engine) as lock:
        idle = is_idle()
        disconnect()
        users.release()
        last = Lock(engine.users)
        if not idle or not last.acquire():
            return
        stop(engine, emit, phase)
        last.release(remove=True)
        lock.release(remove=True)
        for directory in (engine.directory.parent / "ssh", engine.directory.parent):
            with contextlib.suppress(OSError):  # somebody still has a connection open
                directory.rmdir()


def open_engine(answers: Callable[[str], bool], emit: Emit, phase: str) -> Lock:
    """Start the engine unless it answers; the shared lock of its user."""
    engine = own()
    with locked(engine):
        if engine.process() is None or not answers(engine.url):
            start(engine, emit, phase, answers)
        return join()


def start(engine: OwnEngine, emit: Emit, phase: str, answers: Callable[[str], bool]) -> None:
    """Start dockerd for the labs alone: own socket, own directories, no default bridge, no file of the user's read."""
    dockerd = shutil.which("dockerd", path=host.SYSTEM_PATH)
    assert dockerd is not None  # engine.obstacle() looked
    engine.directory.mkdir(mode=0o700, exist_ok=True)
    before = engine.read_state()
    if before.get("boot_id") != host_state.boot_id():
        before = {"boot_id": host_state.boot_id(), "before": host_state.observe().as_dict()}
    root = data_root()
    root.mkdir(mode=0o700, exist_ok=True)
    engine.write_state({**before, "pid": None, "data_root": str(root)})
    # A killed labctl may have started it and not recorded it any more.
    pid = next((pid for pid in _processes(engine) if _comm(pid) == "dockerd"), None)
    if pid is None:
        pid = _spawn(dockerd, engine, root, emit, phase)
    engine.write_state({**engine.read_state(), "pid": pid, "started": start_time(pid)})
    deadline = time.monotonic() + START_SECONDS
    while not answers(engine.url):
        if start_time(pid) is None or time.monotonic() > deadline:
            raise HostError(f"Docker does not start: {last_line(engine.log)}", log=engine.log, fix=f"less {engine.log}")
        time.sleep(0.05)


def _spawn(dockerd: str, engine: OwnEngine, root: Path, emit: Emit, phase: str) -> int:
    """The id of a new dockerd."""
    pid_file = engine.directory / "docker.pid"
    for stale in (engine.socket, pid_file, *_dead_pid_file(engine)):
        stale.unlink(missing_ok=True)
    config = engine.directory / "daemon.json"
    config.write_text("{}\n", encoding="utf-8")
    text = (
        "no Docker engine answers: starting a private one; it turns on net.ipv4.ip_forward and adds DOCKER firewall "
        "chains, all undone when the last lab is destroyed"
    )
    emit(Note(phase=phase, text=text))
    options = {
        "config-file": config,
        "data-root": root,
        "exec-root": engine.exec_root,
        "pidfile": pid_file,
        "host": engine.url,
        "bridge": "none",
        "cgroup-parent": host_state.CGROUP,
        "group": "root",
    }
    argv = [dockerd, *(f"--{name}={value}" for name, value in options.items())]
    path = f"{host.SYSTEM_PATH}:{os.environ.get('PATH', '')}"
    return proc.spawn(argv, log=engine.log, env={"PATH": path}, cwd=Path("/")).pid


def _dead_pid_file(engine: OwnEngine) -> list[Path]:
    """containerd's pid file when its process is gone: dockerd takes a zombie for alive and waits for it in vain."""
    file = engine.exec_root / "containerd" / "containerd.pid"
    try:
        return [] if start_time(int(file.read_text(encoding="ascii"))) is not None else [file]
    except (FileNotFoundError, ValueError):
        return [file]


def _processes(engine: OwnEngine) -> Iterator[int]:
    """Processes whose command line names the private engine's own directory: dockerd, containerd, its shims."""
    # In another mount namespace, such as that of a container in which labctl runs too, the name is another directory.
    here = Path("/proc/self/ns/mnt").readlink()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            pid = int(path.parent.name)
            named = f"{engine.directory}/".encode() in path.read_bytes()
            if named and _comm(pid) in ENGINE_PROGRAMS and path.with_name("ns").joinpath("mnt").readlink() == here:
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
    for processes in ([pid] if pid is not None else [], _processes(engine)):  # dockerd first: it ends its children
        for process in processes:
            end_process(process, STOP_SECONDS)
    if "before" in state:
        before = host_state.HostBefore.from_dict(state["before"])
        host_state.clean(before, directories=(engine.directory, Path(state["data_root"])))
    shutil.rmtree(engine.directory, ignore_errors=True)
    emit(Note(phase=phase, text="the last lab is gone: the private Docker engine is stopped, the host is as before"))
