"""What the answer of a server, or the silence of a network, means, in words that say what helps."""

from __future__ import annotations

import email.utils
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.errors import HostError

if TYPE_CHECKING:
    import requests

# Seconds that a server may ask us to wait.
_PATIENCE = 120.0
_BUSY = {429, 500, 502, 503, 504}
_MEANING = {
    401: "it wants a login",
    403: "it refuses this host or version",
    404: "it does not have that",
    407: "the proxy wants a login",
    429: "it was asked too often",
}
_LOOK = "curl -I {url}   (shows what answers there)"
# What the words of an error mean to somebody who knows neither Python nor its libraries.
_CAUSES = (
    (r"Connection refused", "connection refused"),
    (r"Name or service not known|name resolution|No address associated", "its name is not known"),
    (r"Network is unreachable|No route to host", "no way leads there"),
    (r"407|Proxy Authentication", "the proxy wants a login"),
    (r"timed out", "no answer in time"),
    (
        r"IncompleteRead|ended after|Connection broken|reset by peer|RemoteDisconnected|EOF occurred",
        "the connection was cut",
    ),
)


class TryLaterError(Exception):
    """A server or a network asks for patience: `seconds`, with the reason as a sentence's end."""

    def __init__(self, seconds: float, reason: str) -> None:
        self.seconds, self.reason = seconds, reason


def look(url: str) -> str:
    """The command that shows what answers under a URL."""
    return _LOOK.format(url=url)


def require_ok(response: requests.Response, url: str, what: str, last: bool) -> None:
    """Raise unless the answer is the thing asked for: TryLaterError for a busy server, else HostError."""
    code, told = response.status_code, response.headers.get("Retry-After", "")
    if code in _BUSY and not last:
        seconds = _seconds(told)
        if seconds <= _PATIENCE:
            raise TryLaterError(seconds, f"{'asks for patience' if code == 429 else 'is out of order'} ({code})")
    if code not in (200, 206):
        meaning = _MEANING.get(code, "it is out of order" if code >= 500 else "it did not expect that")
        later = f"; it asks to come back in {told} s" if told else ""
        raise HostError(f"{what} cannot be fetched: {response.url} answers {code}, {meaning}{later}", fix=look(url))
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise HostError(
            f"{what} cannot be fetched: {response.url} answers with a web page, as the login page of a network does",
            fix="open a browser and log in to the network; behind a proxy set https_proxy; then repeat",
        )


def _seconds(told: str) -> float:
    """The seconds that a Retry-After header means, 0 for none."""
    if told.isdigit():
        return float(told)
    with suppress(ValueError, TypeError):
        return max(email.utils.parsedate_to_datetime(told).timestamp() - time.time(), 1.0)
    return 0.0


def _words(error: BaseException) -> str:
    """The words of an error and of those behind it."""
    words: list[str] = []
    current: BaseException | None = error
    while current is not None and len(words) < 10:
        words.append(str(current))
        current = current.__cause__ or current.__context__
    return " ".join(words)


def cause_of(error: BaseException) -> str:
    """What an error means, in a few plain words."""
    words = _words(error)
    return next((plain for pattern, plain in _CAUSES if re.search(pattern, words)), str(error)[:200])


def is_final(error: BaseException) -> bool:
    """Whether another attempt would end the same way."""
    return bool(
        re.search(r"certificate verify failed|Name or service not known|407|Proxy Authentication", _words(error))
    )


def network_problem(error: BaseException, url: str, what: str) -> HostError:
    """The error of a network, with the command that helps."""
    words, host = _words(error), urlsplit(url).hostname
    cause, fix = cause_of(error), look(url)
    if untrusted := re.search(r"certificate verify failed: ([^(\"')]+)", words):
        cause = f"its certificate is not trusted ({untrusted[1].strip()})"
        fix = "SSL_CERT_FILE=<file with your company's certificates> labctl ..., if a proxy of yours is in between"
        if re.search(r"not yet valid|expired", words):
            cause += f"; the clock of this host says {time.strftime('%Y-%m-%d')}"
            fix = "set the clock of this host, if it is wrong; then repeat"
    elif "the proxy" in cause:
        fix = "export https_proxy=http://USER:PASSWORD@PROXY:PORT"
    return HostError(f"{what} cannot be fetched from {host}: {cause}", fix=fix)
