"""Starts libvirtd and virtlogd where no service manager does, reports it, and ends them after the last lab."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator import host, paths, proc
from orchestrator.errors import HostError, Problem
from orchestrator.events import Emit, Note
from orchestrator.providers.without_systemd import host_state
from orchestrator.providers.without_systemd.daemon import Lock, end_process

START_SECONDS = 60
STOP_SECONDS = 20
DAEMONS = ("virtlogd", "libvirtd")
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


def _log() -> Path:
    return paths.runtime_dir() / "libvirt-daemons.log"


def _own_dev() -> Path:
    return paths.runtime_dir() / "dev"


def join() -> Lock:
    """The shared lock of a process that works with libvirt; waits while another labctl ends the daemons."""
    users = Lock(paths.runtime_dir() / "libvirt.users")
    if not users.acquire(shared=True, timeout=START_SECONDS):
        raise HostError(f"another labctl has been stopping libvirt for too long ({users.path})")
    return users


def started_here() -> bool:
    """Whether the daemons that run are those that labctl started for a lab."""
    return _record().exists()


def obstacle() -> Problem | None:
    """Why libvirt does not answer and labctl cannot start it; None when it can."""
    if host.has_service_manager():
        fix = "systemctl enable --now libvirtd; and join the group libvirt"
        return Problem("libvirt does not answer", "libvirt", fix)
    if missing := [name for name in DAEMONS if shutil.which(name, path=host.SYSTEM_PATH) is None]:
        fix = host.install_command(host.package_manager(), ["libvirt-daemon-system"])
        return Problem(f"{' and '.join(missing)} not installed", "libvirt", fix)
    if os.geteuid() != 0:
        return Problem("libvirt does not run and starting it takes root", "libvirt", "sudo ./labctl provision")
    return None


def command(name: str, *, hide_kvm: bool) -> list[str]:
    """The command line of a daemon."""
    program = shutil.which(name, path=host.SYSTEM_PATH) or name
    if name != "libvirtd" or not hide_kvm or not KVM.exists():
        return [program]
    _own_dev().mkdir(exist_ok=True)
    return ["unshare", "--mount", "sh", "-c", _WITHOUT_KVM, "sh", str(_own_dev()), program]


def start(answers: Callable[[], bool], emit: Emit, phase: str, *, hide_kvm: bool) -> None:
    """Start both daemons and wait until libvirt answers. Raises HostError with the reason and the log."""
    if problem := obstacle():
        raise HostError(problem.what, fix=problem.fix)
    log = _log()
    before = paths.read_json(_record()).get("before", {})
    if before.get("boot_id") != host_state.boot_id():
        before = {"boot_id": host_state.boot_id(), **host_state.observe().as_dict()}
    deadline = time.monotonic() + START_SECONDS
    started: dict[str, int] = {}
    next_try: dict[str, float] = {}
    while not answers():
        if time.monotonic() > deadline:
            raise HostError(f"libvirtd does not answer within {START_SECONDS} s", log=log, fix=f"less {log}")
        for name in DAEMONS:
            # A predecessor that is still on its way out holds the pid file, and the new one gives up at once.
            if not _is_process(started.get(name, 0), name) and time.monotonic() > next_try.get(name, 0.0):
                started[name] = proc.spawn(command(name, hide_kvm=hide_kvm), log=log).pid
                next_try[name] = time.monotonic() + 2
                paths.write_private(_record(), json.dumps({**started, "before": before}) + "\n")
        time.sleep(0.2)
    names = " and ".join(f"{name} ({pid})" for name, pid in started.items())
    emit(Note(phase=phase, text=f"no service manager runs here: started {names}; they end with the last lab"))


def stop(emit: Emit, phase: str) -> None:
    """End the daemons that `start` recorded, when these processes are still they, and undo their changes."""
    recorded = paths.read_json(_record())
    if not recorded:
        return
    running = [name for name in reversed(DAEMONS) if _is_process(int(recorded.get(name, 0)), name)]
    for name in running:
        end_process(int(recorded[name]), STOP_SECONDS)
    before = recorded.get("before") or {}
    if before.get("boot_id") == host_state.boot_id():
        host_state.clean_libvirt(host_state.HostBefore.from_dict(before))
    with contextlib.suppress(OSError):
        _own_dev().rmdir()
    _log().unlink(missing_ok=True)
    _record().unlink(missing_ok=True)
    if running:
        emit(Note(phase=phase, text=f"ended {' and '.join(running)}, which labctl had started"))


def _is_process(pid: int, name: str) -> bool:
    try:
        return pid > 0 and name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False
