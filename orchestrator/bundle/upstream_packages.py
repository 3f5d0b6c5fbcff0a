"""The community's packages in the build root: keys by fingerprint, then apt or dnf, which check every signature."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator import proc
from orchestrator.bundle import packages
from orchestrator.bundle.download import Downloads, authorities, proxies
from orchestrator.bundle.packages import Closure
from orchestrator.bundle.recipe import Upstream
from orchestrator.bundle.root import BuildRoot
from orchestrator.catalog.facts import Repository
from orchestrator.errors import HostError

_KEYS = "/build/keys"
# Their version is the one that is wanted, that of all others the newest.
_VERSIONED = {"kubeadm", "kubelet", "kubectl"}
# Seconds before a package manager is started again.
_WAITS = (5.0, 15.0, 30.0)
# What a package manager says of a server or network that may be well again soon.
_PASSING = re.compile(
    r"\b(429|50[0234])\b|Connection (failed|timed out|reset)|Could not connect|Temporary failure|Timeout was"
)
_COMPLAINT = re.compile(r"\s*([EW]:|Err(or)?:|.*rror:)")
# What it says of a repository that is refused, in plain words, and what helps.
_REFUSALS = (
    (
        r"NO_PUBKEY|not signed|NOKEY",
        "it is not signed by the key of the catalog",
        "a newer labctl, if the owner of the repository changed the key",
    ),
    (
        r"EXPKEYSIG|expired",
        "its signature or key has expired",
        "set the clock of this host if it is wrong, then repeat",
    ),
    (r"NOSPLIT|Clearsigned", "what answers is no repository but a login page or a proxy", ""),
    (
        r"BADSIG|INVALID|BAD|GPG error|Bad GPG|NOT OK",
        "its signature is wrong",
        "repeat; if it happens again, somebody on the way changes what is downloaded",
    ),
    (r"Hash Sum|[Cc]hecksum", "a package is not what the signed index says", "repeat the command"),
)


@dataclass
class PackageFetcher:
    """Fetches the packages of one upstream into a build root; `say` takes sentences about waiting."""

    root: BuildRoot
    upstream: Upstream
    kubernetes: str
    downloads: Downloads
    say: Callable[[str], None]

    def fetch(self) -> tuple[Closure, dict[str, str]]:
        """Download everything: debs, and rpms (in /build/rpms) as name -> version. Raises HostError."""
        self._configure()
        for repository in self.upstream.repositories:
            self._trust(repository)
        if self.upstream.family == "debian":
            return self._debs(), {}
        return Closure({}), self._rpms()

    def program(self, name: str, debs: Closure) -> str:
        """The path in the root of a program of Kubernetes, unpacked from its package."""
        tree = f"/build/trees/{name}"
        if name in debs.files:
            packages.extract(self.root, [debs.files[name]], name)
        else:
            unpack = f"cp /build/rpms/{name}-[0-9]*.rpm one.rpm; rpm2archive one.rpm; tar -xzf one.rpm.tgz; rm one.rpm*"
            self.root.script(f"mkdir -p {tree}; cd {tree}; {unpack}")
        return f"{tree}/usr/bin/{name}"

    def _configure(self) -> None:
        """Tell the root's apt of certificates, proxies and logins."""
        etc, addresses = self.root.path / "etc" / "apt", self.upstream.addresses
        (self.root.build / "keys").mkdir(exist_ok=True)
        lines = [f'Acquire::{scheme}::Proxy "{url}";' for scheme, url in proxies().items()]
        if certificates := addresses.ca or authorities():
            (self.root.build / "ca.pem").write_bytes(Path(certificates).read_bytes())
            lines.append('Acquire::https::CAInfo "/build/ca.pem";')
        _write_secret(etc / "apt.conf.d" / "labctl", "\n".join(lines) + "\n")
        if addresses.netrc:
            text = Path(addresses.netrc).read_text(encoding="utf-8")
            _write_secret(etc / "auth.conf.d" / "labctl.conf", text)

    def _trust(self, repository: Repository) -> None:
        """Fetch the key of a repository and keep of it what has the fingerprint of the catalog.

        Raises HostError for another key, and for one that has expired.
        """
        url = self.upstream.addresses.place(repository.key_url)
        wanted = self.upstream.addresses.keys.get(repository.name, repository.fingerprint)
        file = self.root.build / "keys" / f"{repository.name}.fetched"
        file.write_bytes(self.downloads.read(url, f"the signing key of the repository {repository.name}").body)
        inside = f"{_KEYS}/{file.name}"
        keys = fingerprints(self.root.read(["gpg", "--batch", "--show-keys", "--with-colons", inside], check=False))
        if wanted not in keys:
            found = ", ".join(keys) or "no key at all"
            raise HostError(
                f"{url} has another key than the catalog names for the repository {repository.name}: {found} "
                f"instead of {wanted}; nothing signed with it is taken",
                fix="a newer labctl, if the owner of the repository changed the key: it names the new one",
            )
        if expired := keys[wanted]:
            raise HostError(
                f"the signing key {wanted} at {url} has expired on {expired}; the clock of this host says "
                f"{time.strftime('%Y-%m-%d')}",
                fix="set the clock if it is wrong; otherwise wait until the owner of the key publishes a newer copy",
            )
        gpg = "GNUPGHOME=/build/keys/home gpg --batch --quiet"
        self.root.script(
            f"mkdir -p -m 700 /build/keys/home; {gpg} --import {inside}; "
            f"{gpg} --armor --export {wanted} > {_KEYS}/{repository.name}.asc"
        )

    def _wanted(self, repository: Repository, versioned: str) -> list[str]:
        return [versioned.format(name, self.kubernetes) if name in _VERSIONED else name for name in repository.packages]

    def _debs(self) -> Closure:
        """Download with apt."""
        names: list[str] = []
        for repository in self.upstream.repositories:
            place = self.upstream.addresses.place(repository.url)
            source = self.root.path / "etc" / "apt" / "sources.list.d" / f"{repository.name}.list"
            signed = f"signed-by={_KEYS}/{repository.name}.asc"
            source.write_text(f"deb [{signed}] {place} {repository.suite}\n", encoding="utf-8")
            alone = [f"-oDir::Etc::SourceList=/etc/apt/sources.list.d/{source.name}", "-oDir::Etc::SourceParts=-"]
            options = ["--error-on=any", "-oAcquire::Retries=2", "-oAPT::Get::List-Cleanup=0", *alone]
            self._patiently(["apt-get", "update", *options], repository)
            names += self._wanted(repository, "{}={}-*")
        try:
            return packages.exactly(self.root, names)
        except proc.ProcessFailed as failed:
            raise self._refused(self.upstream.repositories[0], _complaints(failed)) from None

    def _rpms(self) -> dict[str, str]:
        """Download with dnf, then check the signature of every package against the keys of the catalog alone."""
        self._configure_dnf()
        for repository in self.upstream.repositories:
            place = ["--config=/build/dnf.conf", "--installroot=/build/el", "--releasever=9"]
            what = ["download", "--destdir=/build/rpms", "--arch=x86_64", "--arch=noarch"]
            wanted = self._wanted(repository, "{}-{}")
            command = ["dnf", *place, f"--repo={repository.name}", "--assumeyes", "--quiet", *what, *wanted]
            self._patiently(command, repository)
        keys = " ".join(f"{_KEYS}/{one.name}.asc" for one in self.upstream.repositories)
        self.root.script(f"mkdir -p /build/rpmdb; rpmkeys --dbpath=/build/rpmdb --import {keys}")
        check = "rpmkeys --dbpath=/build/rpmdb --checksig --verbose /build/rpms/*.rpm"
        checked = self.root.read(["sh", "-c", check], check=False)
        if bad := [line for line in checked.splitlines() if re.search("BAD|NOKEY|NOT OK|MISSING", line)]:
            raise self._refused(self.upstream.repositories[0], bad[0])
        query = "rpm -qp --nosignature --qf '%{NAME} %{VERSION}-%{RELEASE}\\n' /build/rpms/*.rpm"
        return dict(line.split() for line in self.root.read(["sh", "-c", query]).splitlines())

    def _configure_dnf(self) -> None:
        addresses = self.upstream.addresses
        common = [
            "gpgcheck=1",
            "retries=3",
            *(f"proxy={url}" for scheme, url in proxies().items() if scheme == "https"),
        ]
        if (self.root.build / "ca.pem").exists():
            common.append("sslcacert=/build/ca.pem")
        sections = [["[main]", "keepcache=0", "reposdir=/nonexistent", "cachedir=/build/dnf"]]
        for repository in self.upstream.repositories:
            url = addresses.place(repository.url)
            login = self.downloads.login(url)
            lines = [f"[{repository.name}]", f"name={repository.name}", f"baseurl={url}", *common]
            lines += [f"gpgkey=file://{_KEYS}/{repository.name}.asc", f"repo_gpgcheck={int(repository.signed_index)}"]
            sections.append([*lines, *([f"username={login[0]}", f"password={login[1]}"] if login else [])])
        _write_secret(self.root.build / "dnf.conf", "\n".join(line for section in sections for line in section) + "\n")

    def _patiently(self, command: list[str], repository: Repository) -> None:
        """Run a package manager inside; again when a server or the network asks for patience. Raises HostError."""
        for wait in (*_WAITS, None):
            try:
                self.root.run(command, timeout=1200)
                return
            except proc.ProcessFailed as failed:
                cause = _complaints(failed)
                if wait is None or not _PASSING.search(cause):
                    raise self._refused(repository, cause) from None
                self.say(f"the repository {repository.name} does not answer as it should: trying again in {wait:.0f} s")
                self.downloads.sleep(wait)

    def _refused(self, repository: Repository, cause: str) -> HostError:
        url = self.upstream.addresses.place(repository.url)
        look = f"curl -I {url}   (shows what answers there)"
        for pattern, plain, advice in _REFUSALS:
            if re.search(pattern, cause):
                text = f"the repository {repository.name} at {url} is refused: {plain} ({cause[:300]})"
                return HostError(text, fix=advice or look)
        return HostError(f"the repository {repository.name} at {url} cannot be used: {cause[:400]}", fix=look)


def fingerprints(listing: str) -> dict[str, str]:
    """Primary keys of gpg's listing with colons: fingerprint -> date of expiry when that is past, else empty."""
    found: dict[str, str] = {}
    expired, primary = "", False
    for row in (line.split(":") for line in listing.splitlines()):
        if row[0] in ("pub", "sub"):
            primary = row[0] == "pub"
            past = row[6].isdigit() and int(row[6]) < time.time()
            expired = time.strftime("%Y-%m-%d", time.gmtime(int(row[6]))) if past else ""
        elif row[0] == "fpr" and primary:
            found[row[9]] = expired
            primary = False
    return found


def _complaints(failed: proc.ProcessFailed) -> str:
    """The first lines of a package manager that say what is wrong."""
    lines = f"{failed.result.stdout}\n{failed.result.stderr}".splitlines()
    # apt gives the reason in the line after the address.
    found = [i for i, line in enumerate(lines) if _COMPLAINT.match(line) or (i and lines[i - 1].startswith("Err:"))]
    return " ".join(lines[i].strip() for i in found[:3]) or str(failed)


def _write_secret(path: Path, text: str) -> None:
    """A file that only its owner reads from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
