"""Root's password of lab.yml, kept for the nodes as the hash that they keep of it; no other file has it."""

from __future__ import annotations

import shutil

from orchestrator import host, proc
from orchestrator.errors import HostError
from orchestrator.paths import LabDir, write_private

# What /etc/shadow has in the place of a hash for a user whom no password lets in.
LOCKED = "*"


def keep_root_password(directory: LabDir, password: str | None) -> None:
    """Write the hash of this password, unless it is there; without one, a password that was kept is locked.

    Raises HostError on a host without openssl, which makes the hash.
    """
    file = directory.root_password
    kept = file.read_text(encoding="ascii") if file.exists() else ""
    if password is None:
        if kept:
            write_private(file, LOCKED)
        return
    salt = kept.split("$")[2] if kept.startswith("$6$") else ""
    if not (salt and _hash(password, salt) == kept):
        write_private(file, _hash(password))


def _hash(password: str, salt: str = "") -> str:
    """The password's hash by SHA-512, with a new salt if none is given."""
    argv = ["openssl", "passwd", "-6", "-stdin", *(["-salt", salt] if salt else [])]
    if shutil.which("openssl") is None:
        fix = host.install_command(host.package_manager(), ["openssl"])
        raise HostError("openssl, which hashes book.root_password, is not installed", fix=fix)
    return proc.run(argv, stdin=f"{password}\n", timeout=30).stdout.strip()
