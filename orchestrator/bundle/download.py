"""Downloads over HTTPS: resumed after a cut, patient with busy servers, and never taken for what they are not."""

from __future__ import annotations

import errno
import netrc
import os
import ssl
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from orchestrator.bundle.answers import TryLaterError, cause_of, is_final, look, network_problem, require_ok
from orchestrator.bundle.manifest import file_sha256
from orchestrator.errors import HostError

if TYPE_CHECKING:
    import requests

Result = TypeVar("Result")

# Seconds: until a connection stands, and between two pieces of an answer.
_CONNECT, _SILENCE = 15.0, 30.0
# Bytes a second over a time in seconds: below it a download is given up rather than waited for.
_SLOWEST, _OVER = 20_000, 60.0
_ATTEMPTS = 5
_CHUNK = 1 << 18
_SMALL = 20_000_000
# The system's certificates, where Python was built with another default.
_SYSTEM_CA = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem")


@dataclass(frozen=True)
class Answer:
    """A whole answer of a server: status, headers (names in any case), content."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def authorities() -> str:
    """The file of trusted certificates: what the environment names, else the system's, as curl and apt have it."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if value := os.environ.get(name):
            return value
    known = (ssl.get_default_verify_paths().cafile, *_SYSTEM_CA)
    return next((path for path in known if path and Path(path).exists()), "")


def proxies() -> dict[str, str]:
    """The proxies of the environment for http and https."""
    return {scheme: url for scheme, url in urllib.request.getproxies().items() if scheme in ("http", "https")}


@dataclass
class Downloads:
    """A client for one build: `say` takes a sentence when something is waited for, `received` counts bytes by host.

    `ca` is a file of certificates to trust in the place of the system's; proxies are those of the environment. `logins`
    maps a host to user and password.
    """

    say: Callable[[str], None]
    ca: str = ""
    logins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    sleep: Callable[[float], None] = time.sleep
    _session: requests.Session | None = None

    def read(self, url: str, what: str, headers: Mapping[str, str] | None = None, also: Collection[int] = ()) -> Answer:
        """A small document; an answer with a status of `also` is returned as well. Raises HostError as `fetch` does."""

        def attempt(last: bool) -> Answer:
            with self._ask(url, headers) as response:
                if response.status_code in also:
                    return Answer(response.status_code, response.headers, b"")
                require_ok(response, url, what, last)
                body = bytearray()
                for piece in self._pieces(response, what):
                    body += piece
                    if len(body) > _SMALL:
                        raise HostError(f"{url} has more than {_SMALL} bytes: that is not {what}", fix=look(url))
                return Answer(response.status_code, response.headers, bytes(body))

        return self._persist(attempt, url, what)

    def fetch(
        self,
        url: str,
        target: Path,
        what: str,
        sha256: str,
        *,
        headers: Mapping[str, str] | None = None,
        tick: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Download a file of a known sum to `target`, going on where an earlier attempt or run was cut off.

        `tick` is told the bytes of every piece. An empty sum is not compared: what is fetched proves itself then.
        Raises HostError that says what the server or the network did, for another sum, and for a full disk; nothing
        lies at `target` then.
        """
        part = target.with_name(f"{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)

        def attempt(last: bool) -> None:
            have = part.stat().st_size if part.exists() else 0
            span = {"Range": f"bytes={have}-"} if have else {}
            with self._ask(url, {**(headers or {}), **span}) as response:
                if response.status_code == 416:  # nothing is missing: the sum tells
                    return
                require_ok(response, url, what, last)
                got = 0
                with part.open("ab" if response.status_code == 206 else "wb") as stream:
                    for piece in self._pieces(response, what):
                        stream.write(piece)
                        got += len(piece)
                        tick(len(piece))
                expected = int(response.headers.get("Content-Length", got))
                if got < expected:
                    raise ConnectionError(f"ended after {got} of {expected} bytes")

        self._persist(attempt, url, what)
        actual = file_sha256(part)
        if sha256 and actual != sha256:
            part.unlink()
            raise HostError(
                f"{what} from {url} has the sha256 {actual}, not {sha256}: it is not used",
                fix="repeat the command; if it happens again, somebody on the way changes what is downloaded",
            )
        part.replace(target)

    def login(self, url: str) -> tuple[str, str] | None:
        """User and password for the host of a URL."""
        return self.logins.get(urlsplit(url).hostname or "")

    def _persist(self, attempt: Callable[[bool], Result], url: str, what: str) -> Result:
        """What an attempt returns, one of several; it is told whether it is the last."""
        host = urlsplit(url).hostname
        for number in range(1, _ATTEMPTS + 1):
            last = number == _ATTEMPTS
            try:
                return attempt(last)
            except TryLaterError as later:
                seconds, reason = later.seconds or 2.0**number, later.reason
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    fix = "labctl cache prune, or LABCTL_CACHE=<directory on a larger disk>"
                    raise HostError(f"no space is left for {what}", fix=fix) from error
                if last or is_final(error):
                    raise network_problem(error, url, what) from None
                seconds, reason = 2.0**number, f"broke off ({cause_of(error)})"
            self.say(f"{host} {reason}: trying again in {seconds:.0f} s")
            self.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, url: str, headers: Mapping[str, str] | None) -> requests.Response:
        import requests

        if self._session is None:
            self._session = requests.Session()
            # What arrives is counted and continued as it lies on the server.
            self._session.headers.update({"User-Agent": "labctl", "Accept-Encoding": "identity"})
        return self._session.get(
            url,
            headers=dict(headers or {}),
            stream=True,
            timeout=(_CONNECT, _SILENCE),
            auth=None if "Authorization" in (headers or {}) else self.login(url),
            verify=self.ca or authorities() or True,
        )

    def _pieces(self, response: requests.Response, what: str) -> Iterator[bytes]:
        """The content in pieces, counted. Raises HostError when it comes too slowly to be worth waiting for."""
        host = urlsplit(response.url).hostname or ""
        began, since = time.monotonic(), 0
        for piece in _arriving(response):
            self.received[host] = self.received.get(host, 0) + len(piece)
            since += len(piece)
            yield piece
            if time.monotonic() - began > _OVER:
                if since < _SLOWEST * _OVER:
                    raise HostError(
                        f"{what} cannot be fetched: {host} sends less than {_SLOWEST // 1000} KB a second",
                        fix="repeat the command when the network is faster; what has arrived is kept",
                    )
                began, since = time.monotonic(), 0


def _arriving(response: requests.Response) -> Iterator[bytes]:
    """The content as it arrives: a slow server gives small pieces, not one large piece after an hour."""
    import urllib3

    try:
        while piece := response.raw.read1(_CHUNK):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(str(error)) from error


def probe(url: str, seconds: float, *, ca: str = "", netrc_file: str = "") -> str:
    """Why a URL cannot be read within some seconds; empty when it can."""
    import requests

    login = logins(netrc_file).get(urlsplit(url).hostname or "")
    try:
        with requests.get(url, timeout=seconds, stream=True, auth=login, verify=ca or authorities() or True) as answer:
            require_ok(answer, url, url, last=True)
    except OSError as error:
        return network_problem(error, url, url).message
    except HostError as error:
        return error.message
    return ""


def logins(netrc_file: str) -> dict[str, tuple[str, str]]:
    """Host -> user and password, of a file like ~/.netrc. Raises HostError for one that cannot be read."""
    if not netrc_file:
        return {}
    try:
        return {host: (user, password or "") for host, (user, _, password) in netrc.netrc(netrc_file).hosts.items()}
    except (OSError, netrc.NetrcParseError) as error:
        raise HostError(
            f"{netrc_file} cannot be read: {error}", fix="machine HOST login USER password PASSWORD"
        ) from None
