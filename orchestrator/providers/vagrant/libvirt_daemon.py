"""Starts libvirtd and virtlogd where no service manager does, says so, and ends them after the last lab."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator import host, paths, proc
from orchestrator.errors import HostError, Problem
from orchestrator.events import Emit, Note
from orchestrator.providers import host_state as engine_traces

START_SECONDS = 60
DAEMONS = ("virtlogd", "libvirtd")
SEARCH = "/usr/sbin:/sbin:/usr/bin"
KVM = Path("/dev/kvm")
# A libvirtd that may open /dev/kvm while its QEMU's user may not asks QEMU for its abilities again at every call, four
# seconds each (virQEMUCapsIsValid). Where KVM is of no use anyway, it gets a /dev of its own without it. A mount over
# the device, or over /dev, will not do: libvirt moves every mount it finds below /dev into its machines' namespaces.
_WITHOUT_KVM = """
set -e
dev=$1; shift
mount -t tmpfs -o mode=755,nosuid tmpfs "$dev"
mkdir "$dev/net" "$dev/pts" "$dev/shm"
for node in null zero full random urandom tty ptmx net/tun vhost-net; do
    [ ! -e "/dev/$node" ] || cp -a "/dev/$node" "$dev/$node"
done
for place in pts shm; do
    mount --bind "/dev/$place" "$dev/$place"
done
ln -s /proc/self/fd "$dev/fd"
umount --recursive --lazy /dev
mount --move "$dev" /dev
exec "$@"
"""


def _record() -> Path:
    return paths.runtime_dir() / "libvirt-daemons.json"


def service_manager() -> bool:
    """Whether a service manager runs here, whose business daemons are then."""
    return Path("/run/systemd/system").is_dir()


def _users() -> Path:
    return paths.runtime_dir() / "libvirt.users"


def _log() -> Path:
    return paths.runtime_dir() / "libvirt-daemons.log"


def _own_dev() -> Path:
    return paths.runtime_dir() / "dev"


def use() -> int:
    """Note that this process works with libvirt; gives what `alone` and `release` take. The kernel drops it with the
    process. Waits while another labctl is ending the daemons."""
    while True:
        descriptor = os.open(_users(), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), _users().stat()):
                return descriptor
        os.close(descriptor)


def alone(descriptor: int) -> bool:
    """Whether no other labctl works with libvirt now; if so, none begins to before `release`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def release(descriptor: int, *, last: bool) -> None:
    """Take the note back; `last` says that `alone` was true and nothing of libvirt is in use any more."""
    if last:
        _users().unlink(missing_ok=True)
    os.close(descriptor)


def started_here() -> bool:
    """Whether the daemons that run are those that labctl started for a lab."""
    return _record().exists()


def obstacle() -> Problem | None:
    """Why libvirt does not answer and labctl cannot start it; None when it can."""
    if service_manager():
        return Problem(
            "libvirt does not answer", "libvirt", "systemctl enable --now libvirtd; and join the group libvirt"
        )
    missing = [name for name in DAEMONS if shutil.which(name, path=SEARCH) is None]
    if missing:
        fix = host.install_command(host.package_manager(), ["libvirt-daemon-system"])
        return Problem(f"{' and '.join(missing)} not installed", "libvirt", fix)
    if os.geteuid() != 0:
        return Problem("libvirt does not run and starting it takes root", "libvirt", "sudo ./labctl provision")
    return None


def command(name: str, *, hide_kvm: bool) -> list[str]:
    """The command line of a daemon."""
    program = shutil.which(name, path=SEARCH) or name
    if name != "libvirtd" or not hide_kvm or not KVM.exists():
        return [program]
    _own_dev().mkdir(exist_ok=True)
    return ["unshare", "--mount", "sh", "-c", _WITHOUT_KVM, "sh", str(_own_dev()), program]


def start(answers: Callable[[], bool], emit: Emit, phase: str, *, hide_kvm: bool) -> None:
    """Start both daemons and wait until libvirt answers. Raises HostError with the reason and the log."""
    if problem := obstacle():
        raise HostError(problem.what, fix=problem.fix)
    log = _log()
    before = _recorded().get("before", {})
    if before.get("boot_id") != engine_traces.boot_id():
        before = {"boot_id": engine_traces.boot_id(), **engine_traces.look().as_dict()}
    deadline = time.monotonic() + START_SECONDS
    started: dict[str, int] = {}
    again: dict[str, float] = {}
    while not answers():
        if time.monotonic() > deadline:
            raise HostError(f"libvirtd does not answer within {START_SECONDS} s", log=log, fix=f"less {log}")
        for name in DAEMONS:
            # A predecessor that is still on its way out holds the pid file, and the new one gives up at once.
            if not _is(started.get(name, 0), name) and time.monotonic() > again.get(name, 0.0):
                started[name] = proc.spawn(command(name, hide_kvm=hide_kvm), log=log)
                again[name] = time.monotonic() + 2
                _record().write_text(json.dumps({**started, "before": before}) + "\n", encoding="ascii")
        time.sleep(0.2)
    words = " and ".join(f"{name} ({pid})" for name, pid in started.items())
    emit(Note(phase=phase, text=f"no service manager runs here: started {words}; they end with the last lab"))


def stop(emit: Emit, phase: str) -> None:
    """End the daemons that `start` recorded, when these processes are still they, and undo their traces."""
    recorded = _recorded()
    if not recorded:
        return
    ended = [name for name in reversed(DAEMONS) if _end(int(recorded.get(name, 0)), name)]
    before = recorded.get("before") or {}
    if before.get("boot_id") == engine_traces.boot_id():
        engine_traces.clean_libvirt(engine_traces.HostBefore.from_dict(before))
    with contextlib.suppress(OSError):
        _own_dev().rmdir()
    _log().unlink(missing_ok=True)
    _record().unlink(missing_ok=True)
    if ended:
        emit(Note(phase=phase, text=f"ended {' and '.join(ended)}, which labctl had started"))


def _recorded() -> dict[str, Any]:
    """What `start` noted; empty when it did not start anything."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(_record().read_text(encoding="ascii"))
        return found if isinstance(found, dict) else {}
    return {}


def _is(pid: int, name: str) -> bool:
    try:
        return pid > 0 and name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False


def _end(pid: int, name: str) -> bool:
    if not _is(pid, name):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while _is(pid, name) and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.1)
    return True
