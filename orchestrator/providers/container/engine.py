"""The Docker engine: use the user's when it answers, else have one started."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import host, proc
from orchestrator.checks.host import install_remedy
from orchestrator.errors import HostError
from orchestrator.events import Emit, Note
from orchestrator.providers.without_systemd import private_engine
from orchestrator.providers.without_systemd.daemon import Lock

if TYPE_CHECKING:
    from docker import APIClient

SYSTEM_SOCKET = Path("/var/run/docker.sock")
API_SECONDS = 120
START_SECONDS = 60


class Engine:
    """A Docker engine in use by this process; while it is open nobody stops it. Close it when done.

    `users` is the shared lock of an engine that labctl started. `api` is the low-level client of the Docker SDK.
    """

    def __init__(self, url: str, users: Lock | None = None) -> None:
        self.url = url
        self._users = users
        self._api: APIClient | None = None

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
        users, self._users = self._users, None
        if users is None:
            self._disconnect()
        else:
            private_engine.leave(users, self._is_idle, self._disconnect, emit, phase)

    def _disconnect(self) -> None:
        if self._api is not None:
            self._api.close()
            self._api = None

    def _is_idle(self) -> bool:
        try:
            builtin = ("bridge", "host", "none")
            return not self.api.containers(all=True) and all(one["Name"] in builtin for one in self.api.networks())
        except Exception:  # an engine that no longer answers is looked at again by the next command
            return False


@contextmanager
def _client(url: str, seconds: int) -> Iterator[APIClient]:
    from docker import APIClient

    client = APIClient(base_url=url, timeout=seconds)
    try:
        yield client
    finally:
        client.close()


def answers(url: str) -> bool:
    """Whether a Docker engine answers under this URL within a few seconds."""
    try:
        with _client(url, 5) as client:
            return bool(client.ping())
    except Exception:  # the SDK lets requests', urllib3's and its own errors through
        return False


def info(url: str) -> dict[str, Any]:
    """What the engine under this URL says of itself, as `docker info` has it; raises what the SDK raises."""
    with _client(url, 8) as client:
        return dict(client.info())


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
    private = private_engine.own()
    if os.environ.get("DOCKER_HOST", private.url) == private.url and private.process() and answers(private.url):
        return private.url, True
    url = user_url()
    return (url, False) if url and answers(url) else None


def obstacle() -> HostError | None:
    """Why neither the user's engine can be used nor one be started, with the fix; None when one can. Starts nothing."""
    url = user_url()
    if url and not url.startswith("unix://"):
        text = f"the Docker engine {url} is on another machine; nodes are reached on this one"
        return HostError(text, fix="unset DOCKER_HOST, or docker context use default")
    if running() is not None:
        return None
    if url and (os.environ.get("DOCKER_HOST") or url != f"unix://{SYSTEM_SOCKET}"):
        text = f"the Docker engine chosen by DOCKER_HOST or the docker context does not answer ({url})"
        return HostError(text, fix="start it, or `unset DOCKER_HOST` / `docker context use default`")
    if SYSTEM_SOCKET.exists() and not os.access(SYSTEM_SOCKET, os.R_OK | os.W_OK):
        text = f"Docker runs, but this user may not use it ({SYSTEM_SOCKET})"
        return HostError(text, fix="sudo usermod -aG docker $USER, then log in again")
    if shutil.which("dockerd", path=host.SYSTEM_PATH) is None:
        return HostError("Docker is not installed", fix=install_remedy("docker"))
    if os.geteuid() != 0:
        return HostError("Docker is not running and only root can start it", fix="sudo systemctl start docker")
    return None


def open_engine(emit: Emit, phase: str) -> Engine:
    """The engine to work with, started if nothing answers. Raises HostError naming what is missing and the fix."""
    if (problem := obstacle()) is not None:
        raise problem
    url, private = running() or ("", not host.has_service_manager())
    if private:
        return Engine(private_engine.own().url, private_engine.open_engine(answers, emit, phase))
    return Engine(url or _start_service(emit, phase))


def docker_command() -> str:
    """How a user's command line begins that talks to the engine of the labs: `docker`, with the host if it is ours."""
    url, private = running() or ("", False)
    return f"docker --host {url}" if private else "docker"


def attach() -> Engine | None:
    """The engine that answers now, else None; never starts one."""
    if (current := running()) is None:
        return None
    return Engine(current[0], private_engine.join() if current[1] else None)


def _start_service(emit: Emit, phase: str) -> str:
    """Start the system's Docker; its URL."""
    url = f"unix://{SYSTEM_SOCKET}"
    emit(Note(phase=phase, text="Docker was not running: starting it with systemctl"))
    result = proc.run(["systemctl", "start", "docker"], check=False, timeout=START_SECONDS)
    if not result.ok or not answers(url):
        raise HostError(f"Docker does not start: {result.tail}", fix="journalctl -u docker -n 50")
    return url
