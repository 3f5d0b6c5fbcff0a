"""Where Debian packages come from: the host's own apt sources, or the setting LABCTL_DEBIAN_MIRROR."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator import proc

SETTING = "LABCTL_DEBIAN_MIRROR"
DEFAULT_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What the repository of a bundle calls itself.
BUNDLE_SUITE = "labctl"
_CODENAMES = ("stable", "testing", "oldstable", "bullseye", "bookworm", "trixie", "forky", "sid")


@dataclass(frozen=True)
class SourceEntry:
    """One package source of apt: where, suites, components, keyring, whether trusted without a signature."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""
    trusted: bool = False


@dataclass(frozen=True)
class MirrorConfig:
    """A Debian mirror a root can be made from: archive, security archive (None: unknown), keyring, apt options.

    `options` are lines for apt.conf, the host's proxy settings for apt. With a `flat_suite` it is a single repository
    that calls itself so, that of a bundle.
    """

    url: str
    security_url: str | None
    keyring: Path | None
    trusted: bool = False
    options: tuple[str, ...] = ()
    flat_suite: str = ""

    def sources(self, suite: str = "bookworm", *, source_packages: bool = False) -> str:
        """The text of a sources.list for this mirror: suite, updates, security."""
        options = [f"signed-by={self.keyring}"] if self.keyring else []
        options += ["trusted=yes"] if self.trusted else []
        bracket = f"[{' '.join(options)}] " if options else ""
        kinds = ("deb", "deb-src") if source_packages else ("deb",)
        if self.flat_suite:
            return f"deb {bracket}{self.url} ./\n"
        places = [(self.url, suite), (self.url, f"{suite}-updates")]
        if self.security_url:
            places.append((self.security_url, f"{suite}-security"))
        return "".join(f"{kind} {bracket}{url} {name} main\n" for url, name in places for kind in kinds)


def of_bundle(directory: Path, packages: Iterable[str]) -> MirrorConfig | None:
    """The repository of a bundle as a mirror; None when it lacks one of these packages."""
    index = directory / "apt" / "Packages"
    if not index.is_file():
        return None
    known = set(re.findall(r"^Package: (\S+)$", index.read_text(encoding="utf-8"), re.MULTILINE))
    if not known.issuperset(packages):
        return None
    return MirrorConfig(f"copy:{directory / 'apt'}", None, directory / "key.asc", flat_suite=BUNDLE_SUITE)


def parse_list(text: str) -> list[SourceEntry]:
    """Entries of a one-line style sources.list."""
    entries = []
    for raw in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$", raw.split("#")[0].strip())
        if match:
            options = dict(item.split("=", 1) for item in (match[1] or "").split() if "=" in item)
            entries += _entries({**options, "uris": match[2], "suites": match[3], "components": match[4]})
    return entries


def parse_deb822(text: str) -> list[SourceEntry]:
    """Entries of a deb822 style .sources file; disabled stanzas are left out."""
    entries = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in ("no", "false"):
            entries += _entries(fields)
    return entries


def _entries(fields: Mapping[str, str]) -> list[SourceEntry]:
    signed_by = fields.get("signed-by", "")
    return [
        SourceEntry(
            uri=uri.rstrip("/"),
            suites=tuple(fields.get("suites", "").split()),
            components=tuple(fields.get("components", "").split()),
            # An embedded key is no path.
            signed_by=signed_by if signed_by.startswith("/") else "",
            trusted=fields.get("trusted", "no").lower() == "yes",
        )
        for uri in fields.get("uris", "").split()
    ]


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            fields[key] = f"{fields.get(key, '')} {line.strip()}"
        else:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            fields[key] = value.strip()
    return fields


def choose(
    entries: Iterable[SourceEntry],
    *,
    read_mirror_list: Callable[[str], str] = lambda path: "",
    options: tuple[str, ...] = (),
) -> MirrorConfig | None:
    """The mirror among the host's sources: the first Debian suite with `main`, and the first security suite."""
    archive: SourceEntry | None = None
    security: SourceEntry | None = None
    for entry in (_resolved(entry, read_mirror_list) for entry in entries):
        if "main" not in entry.components or not re.match(r"(https?|file):", entry.uri):
            continue
        for suite in entry.suites:
            base, _, rest = suite.replace("/", "-").partition("-")
            if base not in _CODENAMES:
                continue
            if rest in ("security", "updates") and (rest == "security" or "/" in suite):
                security = security or entry
            elif not rest:
                archive = archive or entry
    if archive is None:
        return None
    keyring = Path(archive.signed_by) if archive.signed_by else DEFAULT_KEYRING
    return MirrorConfig(
        url=archive.uri,
        security_url=security.uri if security else None,
        keyring=keyring if not archive.trusted else None,
        trusted=archive.trusted,
        options=options,
    )


def _resolved(entry: SourceEntry, read_mirror_list: Callable[[str], str]) -> SourceEntry:
    """An entry whose `mirror+file:` list is replaced by the first mirror in it, as Debian's cloud images have it."""
    match = re.match(r"mirror\+file:(?://)?(/.*)$", entry.uri)
    if match is None:
        return entry
    mirrors = [line.split()[0] for line in read_mirror_list(match[1]).splitlines() if line[:1] not in ("", "#")]
    return replace(entry, uri=mirrors[0].rstrip("/") if mirrors else "")


def from_setting(value: str, *, options: tuple[str, ...] = ()) -> MirrorConfig:
    """The mirror that LABCTL_DEBIAN_MIRROR names: `URL` or `URL SECURITY-URL`."""
    url, *rest = value.split()
    keyring = DEFAULT_KEYRING if DEFAULT_KEYRING.exists() else None
    return MirrorConfig(url.rstrip("/"), rest[0].rstrip("/") if rest else None, keyring, options=options)


def find(environ: Mapping[str, str] = os.environ, apt: Path = Path("/etc/apt")) -> MirrorConfig | None:
    """The mirror for Debian roots on this host; None when the host is not Debian and none is set."""
    options = proxy_options()
    if value := environ.get(SETTING, "").strip():
        return from_setting(value, options=options)
    entries: list[SourceEntry] = []
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        entries += parse_deb822(text) if path.suffix == ".sources" else parse_list(text)
    return choose(entries, read_mirror_list=_read, options=options)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def proxy_options() -> tuple[str, ...]:
    """The host's proxy settings for apt as apt.conf lines."""
    try:
        text = proc.run(["apt-config", "dump"], check=False, timeout=20).stdout
    except FileNotFoundError:
        return ()
    return tuple(
        line for line in text.splitlines() if re.match(r'Acquire::https?::proxy(::\S+)? "[^"]+";', line, re.IGNORECASE)
    )
