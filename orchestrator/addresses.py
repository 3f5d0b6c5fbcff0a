"""Where the community's hosts are reached: a part of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Addresses:
    """Where the community's hosts are reached: themselves, or a mirror's URL for each.

    `url` stands for all hosts, each below its own name; `hosts` names single ones. `keys` are the fingerprints that may
    sign, by repository, in the place of the catalog's; `sums` further sha256, by artefact. `ca` and `netrc` are files
    of this host: certificates to trust, and logins.
    """

    url: str = ""
    hosts: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    sums: Mapping[str, str] = field(default_factory=dict)
    ca: str = ""
    netrc: str = ""

    @property
    def elsewhere(self) -> bool:
        """Whether any host is reached under another address."""
        return bool(self.url or self.hosts)

    def of_host(self, host: str) -> str:
        """The base URL that stands for a host, without a slash at the end."""
        return (self.hosts.get(host) or (f"{self.url}/{host}" if self.url else f"https://{host}")).rstrip("/")

    def place(self, url: str) -> str:
        """The URL under which a URL of the community is reached."""
        host, _, rest = url.partition("://")[2].partition("/")
        return f"{self.of_host(host)}/{rest}"


# The community's hosts under their own names.
THEMSELVES = Addresses()
