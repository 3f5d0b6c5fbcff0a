"""VirtualBox and Vagrant of Debian sid in a root of their own: everything real but the kernel driver.

It lives in namespaces of its own: its registry, its host-only interface and its daemons end with it.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from orchestrator import debian_mirror, paths

HERE = Path(__file__).parent
MAKE_SECONDS = 600
# What VirtualBox takes for a host-only interface: any whose name begins so.
SETUP = """
mount --make-rprivate /
mount -t proc proc {root}/proc
mount -t tmpfs tmpfs {root}/dev
mkdir {root}/dev/shm
for name in null zero full random urandom tty; do cp -a /dev/$name {root}/dev/; done
mount -t tmpfs tmpfs {root}/root
mount -t tmpfs tmpfs {root}/tmp
for shared in {shared}; do mkdir -p {root}$shared; mount --bind $shared {root}$shared; done
ip link set lo up
ip tuntap add dev vboxnet0 mode tap
ip address add 192.168.63.1/24 dev vboxnet0
ip link set vboxnet0 up
echo ready
exec sleep infinity
"""
# Debian's own start script of VBoxManage warns on stdout that the driver is missing, which Vagrant takes for an answer.
WRAPPER = """#!/bin/sh
exec nsenter --target {pid} --mount --net --pid=/proc/{pid}/ns/pid_for_children chroot {root} \\
    /usr/bin/env HOME=/root LC_ALL=C.UTF-8 PATH=/usr/lib/virtualbox:/usr/sbin:/usr/bin:/sbin:/bin \\
    sh -c 'cd "$0" && exec "$@"' "$PWD" {program} "$@"
"""


@dataclass(frozen=True)
class Userland:
    """A running userland: `programs` has VBoxManage and vagrant for the PATH of this host's programs."""

    programs: Path

    def run(self, *argv: str, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run VBoxManage or vagrant."""
        done = subprocess.run(
            [self.programs / argv[0], *argv[1:]],
            cwd=cwd or "/",
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{argv}: {done.stdout}\n{done.stderr}"
        return done


def root() -> Path:
    """The root directory, made where the cache has none of this recipe; about 80 seconds and 700 MB."""
    recipe = sha256((HERE / "make_userland.sh").read_bytes() + (HERE / "packages.txt").read_bytes()).hexdigest()[:12]
    place = paths.cache_dir() / "tests" / f"virtualbox-{recipe}"
    place.parent.mkdir(exist_ok=True)
    with FileLock(place.parent / ".virtualbox.lock"):
        if not place.exists():
            fresh = place.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            mirror = debian_mirror.find()
            assert mirror is not None, "this host's package sources name no Debian mirror"
            with tempfile.TemporaryDirectory() as work:
                argv = ["sh", HERE / "make_userland.sh", fresh, mirror.url, str(mirror.keyring), work]
                done = subprocess.run(argv, capture_output=True, text=True, timeout=MAKE_SECONDS, check=False)
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
            fresh.replace(place)
    return place


@contextlib.contextmanager
def running(root: Path, programs: Path, shared: tuple[Path, ...]) -> Iterator[Userland]:
    """The userland with directories of this host in it, at the same paths."""
    script = SETUP.format(root=shlex.quote(str(root)), shared=" ".join(shlex.quote(str(path)) for path in shared))
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            programs.mkdir(exist_ok=True)
            for program in ("VBoxManage", "vagrant"):
                text = WRAPPER.format(pid=holder.pid, root=shlex.quote(str(root)), program=program)
                (programs / program).write_text(text, encoding="utf-8")
                (programs / program).chmod(0o755)
            yield Userland(programs)
        finally:
            holder.kill()
