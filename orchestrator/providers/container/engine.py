"""The Docker engine: use the user's when it answers, else a private one of ours, stopped with the last lab."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import proc
from orchestrator.errors import HostError
from orchestrator.events import Emit, Note
from orchestrator.providers.container import private_engine
from orchestrator.providers.container.private_engine import START_SECONDS, SYSTEM_PATH, Lock, data_root, locked, own

if TYPE_CHECKING:
    from docker import APIClient

SYSTEM_SOCKET = Path("/var/run/docker.sock")
API_SECONDS = 120


class Engine:
    """A Docker engine in use by this process; while it is open nobody stops it. Close it when done.

    `private` says that labctl started it. `api` is the low-level client of the Docker SDK.
    """

    def __init__(self, url: str, *, private: bool) -> None:
        self.url = url
        self.private = private
        self._users: Lock | None = None
        self._api: APIClient | None = None
        if private:
            self._users = Lock(own().users)
            self._users.acquire(shared=True, timeout=5)

    @property
    def api(self) -> APIClient:
        if self._api is None:
            self._api = self.client(API_SECONDS)
        return self._api

    def client(self, seconds: int) -> APIClient:
        """A client of its own whose calls may each take this long."""
        from docker import APIClient

        return APIClient(base_url=self.url, timeout=seconds, max_pool_size=32)

    def close(self, emit: Emit, phase: str) -> None:
        """Let go of the engine; a private one that holds nothing any more is stopped and cleaned up after."""
        engine = own()
        if not self.private or self._users is None:
            self._disconnect()
            return
        with locked(engine) as lock:
            idle = self._idle()
            self._disconnect()
            self._users.release()
            self._users = None
            last = Lock(engine.users)
            if not idle or not last.acquire():
                return
            private_engine.stop(engine, emit, phase)
            last.release(remove=True)
            lock.release(remove=True)
            for directory in (engine.directory.parent / "ssh", engine.directory.parent):
                with contextlib.suppress(OSError):  # somebody still has a connection open
                    directory.rmdir()

    def _disconnect(self) -> None:
        if self._api is not None:
            self._api.close()
            self._api = None

    def _idle(self) -> bool:
        try:
            if self.api.containers(all=True):
                return False
            builtin = ("bridge", "host", "none")
            return all(network["Name"] in builtin for network in self.api.networks())
        except Exception:  # an engine that no longer answers is looked at again by the next command
            return False


def answers(url: str) -> bool:
    """Whether a Docker engine answers under this URL within a few seconds."""
    from docker import APIClient

    try:
        client = APIClient(base_url=url, timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except Exception:  # the SDK lets requests', urllib3's and its own errors through
        return False


def info(url: str) -> dict[str, Any]:
    """What the engine under this URL says of itself, as `docker info` has it; raises what the SDK raises."""
    from docker import APIClient

    client = APIClient(base_url=url, timeout=8)
    try:
        return dict(client.info())
    finally:
        client.close()


def user_url() -> str | None:
    """The engine the user has chosen or the system offers; None when nothing is there to try.

    DOCKER_HOST, then the current context of the docker command line, then the system's socket.
    """
    if named := os.environ.get("DOCKER_HOST"):
        return named
    return _context_url(Path.home() / ".docker") or (f"unix://{SYSTEM_SOCKET}" if SYSTEM_SOCKET.exists() else None)


def _context_url(config: Path) -> str | None:
    try:
        name = os.environ.get("DOCKER_CONTEXT") or json.loads((config / "config.json").read_text())["currentContext"]
        for meta in (config / "contexts" / "meta").glob("*/meta.json"):
            context = json.loads(meta.read_text())
            if context.get("Name") == name:
                return str(context["Endpoints"]["docker"]["Host"])
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return None


def running() -> tuple[str, bool] | None:
    """URL of an engine that answers now, and whether it is our private one. Starts nothing.

    A private engine that runs holds labs, so it goes before the system's; only DOCKER_HOST goes before it.
    """
    private = f"unix://{own().socket}"
    if os.environ.get("DOCKER_HOST", private) == private and own().process() is not None and answers(private):
        return private, True
    url = user_url()
    return (url, False) if url and answers(url) else None


def dormant() -> bool:
    """Whether the private engine is down but has containers on disk, as after a reboot of the host."""
    containers = data_root() / "containers"
    try:
        return any(containers.iterdir())
    except OSError:
        return False


def obstacle() -> HostError | None:
    """Why neither the user's engine can be used nor one be started, with the fix; None when one can. Starts nothing."""
    url = user_url()
    if url and not url.startswith("unix://"):
        return HostError(
            f"the Docker engine {url} is on another machine; nodes are reached on this one",
            fix="unset DOCKER_HOST, or docker context use default",
        )
    if running() is not None:
        return None
    if url and (os.environ.get("DOCKER_HOST") or url != f"unix://{SYSTEM_SOCKET}"):
        return HostError(
            f"the Docker engine chosen by DOCKER_HOST or the docker context does not answer ({url})",
            fix="start it, or `unset DOCKER_HOST` / `docker context use default`",
        )
    if SYSTEM_SOCKET.exists() and not os.access(SYSTEM_SOCKET, os.R_OK | os.W_OK):
        return HostError(
            f"Docker runs, but this user may not use it ({SYSTEM_SOCKET})",
            fix="sudo usermod -aG docker $USER, then log in again",
        )
    if shutil.which("dockerd", path=SYSTEM_PATH) is None:
        return HostError("Docker is not installed", fix=install_hint())
    if os.geteuid() != 0:
        return HostError("Docker is not running and only root can start it", fix="sudo systemctl start docker")
    return None


def install_hint() -> str:
    """The command that installs Docker on this host."""
    from orchestrator import host

    return host.install_command(host.package_manager(), docker_packages())


def docker_packages() -> tuple[str, ...]:
    """The package that brings the Docker engine, by the host's package manager."""
    from orchestrator import host

    names = {"apt": ("docker.io", "iptables"), "dnf": ("moby-engine", "iptables-nft")}
    return names.get(host.package_manager(), ("docker",))


def open_engine(emit: Emit, phase: str) -> Engine:
    """The engine to work with, started if nothing answers. Raises HostError naming what is missing and the fix."""
    if (problem := obstacle()) is not None:
        raise problem
    found = running()
    if found and not found[1]:
        return Engine(found[0], private=False)
    engine = own()
    if found is None and _service_manager():
        _start_service(emit, phase)
        return Engine(f"unix://{SYSTEM_SOCKET}", private=False)
    with locked(engine):
        if engine.process() is None or not answers(f"unix://{engine.socket}"):
            private_engine.start(engine, emit, phase, answers)
        return Engine(f"unix://{engine.socket}", private=True)


def docker_command() -> str:
    """How a user's command line begins that talks to the engine of the labs: `docker`, with the host if it is ours."""
    found = running()
    return f"docker --host {found[0]}" if found and found[1] else "docker"


def attach() -> Engine | None:
    """The engine that answers now, else None; never starts one."""
    found = running()
    return Engine(found[0], private=found[1]) if found else None


def _service_manager() -> bool:
    return Path("/run/systemd/system").is_dir()


def _start_service(emit: Emit, phase: str) -> None:
    emit(Note(phase=phase, text="Docker was not running: starting it with systemctl"))
    result = proc.run(["systemctl", "start", "docker"], check=False, timeout=START_SECONDS)
    if not result.ok or not answers(f"unix://{SYSTEM_SOCKET}"):
        raise HostError(f"Docker does not start: {result.tail}", fix="journalctl -u docker -n 50")
