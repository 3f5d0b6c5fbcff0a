"""apt and dnf whose only repository is that of a served bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator import bundle, debian_mirror
from orchestrator.bundle.root import BuildRoot


def private_apt(directory: Path, url: str, key: Path) -> list[str]:
    """apt-get with package sources, state and cache of its own below a directory."""
    for part in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "state/lists/partial", "cache/archives/partial"):
        (directory / part).mkdir(parents=True)
    (directory / "etc/apt/sources.list").write_text(f"deb [signed-by={key}] {url} ./\n")
    (directory / "status").touch()
    settings = {
        "Dir::Etc": directory / "etc/apt",
        "Dir::State": directory / "state",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "0",
    }
    return ["apt-get", *(f"-o{name}={value}" for name, value in settings.items()), "--yes"]


@contextmanager
def dnf_root(path: Path, built: bundle.BundleInfo, served: bundle.Served) -> Iterator[BuildRoot]:
    """A Debian root with Debian's dnf, its only repository the bundle's."""
    mirror = debian_mirror.find()
    assert mirror is not None
    root = BuildRoot(path, path.with_suffix(".log"))
    try:
        root.create(mirror, "bookworm", ["dnf", "gnupg", "rpm"])
        shutil.copyfile(built.key_file, root.path / "etc" / "key.asc")
        repositories = root.path / "etc" / "yum.repos.d"
        repositories.mkdir(parents=True, exist_ok=True)
        (repositories / "labctl.repo").write_text(
            f"[labctl]\nname=labctl\nbaseurl={served.rpm_url}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=file:///etc/key.asc\n"
        )
        yield root
    finally:
        root.remove()
