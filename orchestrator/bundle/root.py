"""The Debian root in which a bundle is built: made by mmdebstrap, entered in own namespaces, removed at the end."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import operating_system, proc
from orchestrator.debian_mirror import MirrorConfig
from orchestrator.errors import Problem

# What the build starts on the host; the catalog knows the packages.
_TOOLS = ("mmdebstrap", "apt-get", "dpkg-deb", "unshare", "setpriv", "gpgv")
_USER_TOOLS = ("newuidmap",)
_USER_NAMESPACE = ["unshare", "--user", "--map-root-user", "--map-auto", "--"]
_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")


def required_host_tools() -> tuple[str, ...]:
    """Programs the build starts on the host."""
    return _TOOLS if os.geteuid() == 0 else (*_TOOLS, *_USER_TOOLS)


def system_problem() -> Problem | None:
    """Why no bundle is built on this system and processor, whoever the user is."""
    system = operating_system.current()
    if system.is_linux and system.has_amd64:
        return None
    what = f"bundles are built on Linux with an x86_64 processor, this is {system.title} on {system.machine}"
    return Problem(what, "bundle build", "labctl bundle export FILE there, then here: labctl bundle import FILE")


def user_problem() -> Problem | None:
    """What keeps this user from making a build root; None for root and where user namespaces map subordinate IDs."""
    if problem := system_problem():
        return problem
    if os.geteuid() == 0:
        return None
    fix = (
        "as root: apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER; "
        "or run the command as root"
    )
    what = "making a bundle takes root, or a user with subordinate IDs"
    if shutil.which("newuidmap") is None:
        return Problem(f"{what}, and the program newuidmap is missing", "bundle build", fix)
    entered = proc.run([*_USER_NAMESPACE, "true"], check=False)
    return None if entered.ok else Problem(f"{what} ({entered.tail})", "bundle build", fix)


@dataclass(frozen=True)
class BuildRoot:
    """A Debian root below `path`; commands run in it with mounts and processes of their own.

    Both live in namespaces of the command, so that the kernel itself undoes every mount and ends every
    process when the command ends, however it ends. Without root rights the same works in a user namespace.
    """

    path: Path
    log: Path

    @property
    def build(self) -> Path:
        """The working directory /build of the root, seen from the host."""
        return self.path / "build"

    def _namespaces(self) -> list[str]:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
        # The parent's death ends unshare, and unshare's end everything inside.
        return ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *user, "--mount", "--pid", "--fork", "--kill-child"]

    def argv(self, command: Sequence[str], environment: Sequence[str] = ()) -> list[str]:
        """The command line that runs `command` inside."""
        inside = shlex.join(["/usr/bin/env", "-i", *_ENVIRONMENT, *environment, *command])
        where = shlex.quote(str(self.path))
        # /dev: a user namespace cannot make devices, and a root's own may lie on a filesystem mounted nodev.
        devices = " && ".join(
            f"touch {where}/dev/{name} && mount --bind /dev/{name} {where}/dev/{name}"
            for name in ("null", "zero", "full", "random", "urandom")
        )
        script = f"mount -t proc proc {where}/proc && {devices} && exec chroot {where} {inside}"
        return [*self._namespaces(), "/bin/sh", "-c", script]

    def run(self, command: Sequence[str], *, timeout: float = 600, environment: Sequence[str] = ()) -> proc.Result:
        """Run a command inside to its end, its output in the log; raises ProcessFailed."""
        with self.log.open("a", encoding="utf-8") as sink:
            sink.write(f"\n$ {shlex.join(command)[:2000]}\n")
        return proc.stream(self.argv(command, environment), lambda line: None, timeout=timeout, log=self.log)

    def read(self, command: Sequence[str], *, timeout: float = 120, check: bool = True) -> str:
        """Run a command inside and return what it wrote to stdout."""
        return proc.run(self.argv(command), timeout=timeout, check=check).stdout

    def script(self, text: str, *, timeout: float = 600) -> proc.Result:
        """Run a shell script inside, ending at the first command that fails."""
        return self.run(["/bin/sh", "-euc", text], timeout=timeout)

    def create(self, mirror: MirrorConfig, suite: str, packages: Sequence[str]) -> None:
        """Make the root with a package configuration of its own; the host lends nothing but the mirror's name."""
        sources = self.path.parent / "sources.list"
        sources.write_text(mirror.sources(suite, source_packages=True), encoding="utf-8")
        argv = proc.with_parent_death_signal(
            "mmdebstrap",
            f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
            "--variant=apt",
            "--skip=cleanup/apt/lists",
            *(["--include=" + ",".join(packages)] if packages else []),
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=APT::Sandbox::User "root"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=force-unsafe-io",
            *(f"--aptopt={option}" for option in mirror.options),
            *([f"--keyring={mirror.keyring}"] if mirror.keyring else []),
            suite,
            str(self.path),
            str(sources),
        )
        proc.stream(argv, lambda line: None, timeout=900, log=self.log)
        if os.geteuid() != 0:
            # mmdebstrap's root is the user's first subordinate ID, which is 1 here; 0 is the user, who writes below it.
            own = ["chown", "--recursive", "--no-dereference", "--from=1:1", "0:0", str(self.path)]
            proc.run([*_USER_NAMESPACE, *own], timeout=300)
        # Names are those of the host, also the ones that no server knows.
        for name in ("/etc/hosts", "/etc/resolv.conf"):
            if Path(name).is_file():
                shutil.copyfile(name, self.path / name.lstrip("/"))
        self.run(["mkdir", "-p", "/build"])

    def remove(self) -> None:
        """Delete the root and everything in it."""
        if self.path.exists():
            user = [] if os.geteuid() == 0 else _USER_NAMESPACE
            proc.run([*user, "rm", "-rf", "--one-file-system", str(self.path)], timeout=300)
