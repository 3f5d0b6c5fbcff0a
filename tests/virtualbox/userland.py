"""VirtualBox and Vagrant of Debian sid in a root of their own: everything real but the kernel driver.

It lives in namespaces of its own: its registry, its host-only interface and its daemons end with it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from orchestrator import debian_mirror, paths

HERE = Path(__file__).parent
MAKE_SECONDS = 600
DRIVER = HERE / "driver_by_qemu.py"
# VirtualBox takes any interface whose name begins so for a host-only one; as a bridge it has room for every machine.
# A host with the driver has its device: here a file of this name, for labctl, which looks for it.
SETUP = """
mount --make-rprivate /
mount -t proc proc {root}/proc
mount -t tmpfs tmpfs {root}/dev
mkdir {root}/dev/shm
for name in null zero full random urandom tty; do cp -a /dev/$name {root}/dev/; done
mount -t tmpfs tmpfs {root}/root
mount -t tmpfs tmpfs {root}/tmp
mount -t tmpfs tmpfs {root}/usr/local/bin
cp {programs}/inside {root}/usr/local/bin/VBoxManage
for shared in {shared}; do mkdir -p {root}$shared; mount --bind $shared {root}$shared; done
mkdir -p {root}/host
mount --rbind / {root}/host
mkdir {programs}/dev
for name in /dev/*; do
    if [ $name = /dev/ptmx ]; then ln -s pts/ptmx {programs}$name
    elif [ -L $name ]; then cp -a $name {programs}/dev/
    elif [ -d $name ]; then mkdir {programs}$name; mount --rbind $name {programs}$name
    else touch {programs}$name; mount --bind $name {programs}$name; fi
done
touch {programs}/dev/vboxdrv
mount --rbind {programs}/dev /dev
ip link set lo up
ip link add vboxnet0 type bridge
ip address add 192.168.63.1/24 dev vboxnet0
ip link set vboxnet0 up
# VirtualBox' server, which otherwise ends five seconds after its last client and is missed by the next.
chroot {root} /usr/bin/env HOME=/root LC_ALL=C.UTF-8 /usr/lib/virtualbox/VBoxSVC >{programs}/VBoxSVC.log 2>&1 &
echo ready
# As the first process of its namespace it also collects what ends here.
sleep infinity &
wait
"""
# Debian's own start script of VBoxManage warns on stdout that the driver is missing, which Vagrant takes for an answer.
OUTSIDE = """#!/bin/sh
(printf '%s\\t' "$@"; echo) >>{programs}/{program}.calls
exec nsenter --target {pid} --mount --net --pid=/proc/{pid}/ns/pid_for_children chroot {root} \\
    /usr/bin/env HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    sh -c 'cd "$0" 2>/dev/null || cd /; exec "$@"' "$PWD" {program} "$@"
"""
INSIDE = """#!/bin/sh
exec chroot /host /usr/bin/env USERLAND_ROOT={root} USERLAND_MACHINES={machines} PATH={path} \\
    {python} {driver} "$@"
"""


@dataclass(frozen=True)
class Userland:
    """A running userland: `programs` has VBoxManage and vagrant for the PATH of this host's programs.

    `within` is what stands before the command of a process that is to have its network and its driver.
    """

    programs: Path
    within: tuple[str, ...]

    def run(
        self, *argv: str, cwd: Path | None = None, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run VBoxManage or vagrant; WITHOUT_DRIVER in the environment takes the stand-in away."""
        done = subprocess.run(
            [self.programs / argv[0], *argv[1:]],
            cwd=cwd or "/",
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{argv}: {done.stdout}\n{done.stderr}"
        return done

    def calls(self, program: str) -> list[list[str]]:
        """The words of every call of a program by labctl and by the tests."""
        lines = (self.programs / f"{program}.calls").read_text(encoding="utf-8").splitlines()
        return [line.split("\t")[:-1] for line in lines]

    def manage(self, *words: str) -> str:
        """Run VBoxManage; what it printed."""
        return self.run("VBoxManage", *words).stdout


def root(*more: str) -> Path:
    """The root directory, made where the cache has none of this recipe; about 80 seconds and 700 MB.

    `more` are packages beside those of packages.txt.
    """
    files = (HERE / "make_userland.sh").read_bytes() + (HERE / "packages.txt").read_bytes()
    recipe = sha256(files + " ".join(more).encode()).hexdigest()[:12]
    place = paths.cache_dir() / "tests" / f"virtualbox-{recipe}"
    place.parent.mkdir(exist_ok=True)
    with FileLock(place.parent / ".virtualbox.lock"):
        if not place.exists():
            fresh = place.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            mirror = debian_mirror.find()
            assert mirror is not None, "this host's package sources name no Debian mirror"
            with tempfile.TemporaryDirectory() as work:
                argv = ["sh", HERE / "make_userland.sh", fresh, mirror.url, str(mirror.keyring), work, ",".join(more)]
                done = subprocess.run(argv, capture_output=True, text=True, timeout=MAKE_SECONDS, check=False)
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
            fresh.replace(place)
    return place


@contextlib.contextmanager
def running(root: Path, programs: Path, shared: tuple[Path, ...]) -> Iterator[Userland]:
    """The userland with directories of this host in it, at the same paths."""
    quoted = {"root": shlex.quote(str(root)), "programs": shlex.quote(str(programs))}
    (programs / "machines").mkdir()
    own = {"python": sys.executable, "driver": DRIVER, "machines": programs / "machines", "path": os.environ["PATH"]}
    write_program(programs / "inside", INSIDE, **quoted, **{name: shlex.quote(str(own[name])) for name in own})
    script = SETUP.format(**quoted, shared=" ".join(shlex.quote(str(path)) for path in shared))
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            for program in ("VBoxManage", "vagrant", "xvfb-run"):
                write_program(programs / program, OUTSIDE, **quoted, pid=holder.pid, program=program)
            yield Userland(programs, ("nsenter", f"--target={holder.pid}", "--mount", "--net"))
        finally:
            holder.kill()


def write_program(file: Path, text: str, **values: object) -> None:
    """Write a shell script for a PATH."""
    file.write_text(text.format(**values), encoding="utf-8")
    file.chmod(0o755)
