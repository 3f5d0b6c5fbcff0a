"""A network namespace with loopback only, in which the replica's hosts have their true names."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator import paths, proc
from tests.replica.server import HOSTS

_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Namespace:
    """The namespaces of a process that waits in them; commands are run there with `argv`."""

    holder: int

    def argv(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.holder}", "--net", "--mount", f"--wd={Path.cwd()}", "--", *command]

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket inside, for a server that runs outside."""
        return self._inside(lambda: socket.create_server((address, port), family=_family(address), backlog=128))

    def connect(self, address: str, port: int) -> socket.socket:
        """A connection to a server inside."""
        return self._inside(lambda: socket.create_connection((address, port), timeout=60))

    def _inside(self, make: Callable[[], socket.socket]) -> socket.socket:
        """A socket made by a thread of its own, for only that one changes its namespace, and ends."""
        made: list[socket.socket] = []

        def enter() -> None:
            with Path(f"/proc/{self.holder}/ns/net").open() as net:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(net.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(make())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextmanager
def isolated(work: Path, names: Sequence[str] = HOSTS, address: str = "127.0.0.1") -> Iterator[Namespace]:
    """A namespace whose only way out is loopback, where `names` lead to `address`."""
    hosts = work / "hosts"
    lines = ["127.0.0.1 localhost", "::1 localhost", f"127.0.0.1 {socket.gethostname()}"]
    hosts.write_text("\n".join([*lines, *(f"{address} {name}" for name in names)]) + "\n", encoding="utf-8")
    resolver = work / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", encoding="utf-8")
    ready = work / "ready"
    script = (
        f"ip link set lo up; mount --bind {hosts} /etc/hosts; mount --bind {resolver} /etc/resolv.conf; "
        # An engine of its own: one that runs outside has the host's network.
        f"mount -t tmpfs -o mode=700 tmpfs {paths.runtime_dir()}; touch {ready}; exec sleep infinity"
    )
    argv = proc.with_parent_death_signal("unshare", "--net", "--mount", "sh", "-euc", script)
    holder = proc.spawn(argv, log=work / "namespace.log")
    try:
        done = threading.Event()
        while not ready.exists() and holder.poll() is None:
            done.wait(0.02)
        assert holder.poll() is None, (work / "namespace.log").read_text()
        yield Namespace(holder.pid)
    finally:
        proc.end_group(holder.pid)
        holder.wait()


def certificates(work: Path, names: Sequence[str] = HOSTS, since: int = -400) -> tuple[Path, Path, Path]:
    """An authority, and a certificate of it for `names` with its key, valid from `since` days from now on."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.now(UTC)
    start, end = now - timedelta(days=400), now + timedelta(days=700)

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    own, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = (
        x509.CertificateBuilder()
        .subject_name(named("the replica's authority")).issuer_name(named("the replica's authority"))
        .public_key(own.public_key()).serial_number(1)
        .not_valid_before(start).not_valid_after(now + timedelta(days=800))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(own, hashes.SHA256())
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named(names[0])).issuer_name(authority.subject)
        .public_key(key.public_key()).serial_number(2)
        .not_valid_before(now + timedelta(days=since)).not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(own, hashes.SHA256())
    )  # fmt: skip
    paths = (work / "ca.pem", work / "server.pem", work / "server.key")
    encoding = serialization.Encoding.PEM
    paths[0].write_bytes(authority.public_bytes(encoding))
    paths[1].write_bytes(certificate.public_bytes(encoding))
    plain = serialization.NoEncryption()
    paths[2].write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    paths[2].chmod(0o600)
    return paths


def environment(settings: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of a user without LABCTL_OFFLINE and what these settings leave empty."""
    given = {**os.environ, "LABCTL_OFFLINE": "", **settings}
    return {name: value for name, value in given.items() if value}
