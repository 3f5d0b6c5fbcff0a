"""Signed repositories of a bundle: a throw-away key, the flat apt repository, the rpm repository with signed rpms."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestrator.bundle.packages import Closure, place
from orchestrator.bundle.root import BuildRoot
from orchestrator.debian_mirror import BUNDLE_SUITE

_HOME = "/build/gnupg"
_NAME = "labctl offline bundle"
# From this size on, in bytes, a package is worth compressing anew.
_LARGE = 4_000_000


def make_key(root: BuildRoot, target: Path) -> str:
    """Make the bundle's own signing key, write its public half to `target`, return the fingerprint.

    The private half never leaves the build root and goes away with it: nobody can sign for this bundle later.
    """
    # RSA: rpm and apt of every supported distribution know it.
    root.script(
        f"mkdir -p -m 700 {_HOME}; export GNUPGHOME={_HOME}; "
        f"gpg --batch --quiet --passphrase '' --quick-generate-key '{_NAME}' rsa3072 sign never; "
        "gpg --batch --armor --export > /build/key.asc"
    )
    shutil.copyfile(root.build / "key.asc", target)
    listing = root.read(["env", f"GNUPGHOME={_HOME}", "gpg", "--batch", "--with-colons", "--list-keys"])
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))


def index_apt(root: BuildRoot, work: Path, target: Path) -> None:
    """Index and sign the .deb files of `work` (below /build) as a flat repository, then move it to `target`."""
    inside = f"/build/{work.relative_to(root.build).as_posix()}"
    root.script(
        f"cd {inside}; export GNUPGHOME={_HOME}; "
        "apt-ftparchive packages . > Packages; gzip -9nk Packages; "
        "apt-ftparchive -o APT::FTPArchive::Release::Origin=labctl -o APT::FTPArchive::Release::Label=labctl "
        f"-o APT::FTPArchive::Release::Suite={BUNDLE_SUITE} release . > /build/Release; mv /build/Release Release; "
        "gpg --batch --yes --armor --detach-sign --output Release.gpg Release; "
        "gpg --batch --yes --clearsign --output InRelease Release"
    )
    _adopt(work, target)


def index_rpm(root: BuildRoot, target: Path) -> None:
    """Sign every rpm of /build/rpms, index them, sign the index, and move the repository to `target`.

    Without any rpm it is an empty repository, so that a node of the RedHat family can be told of it all the same.
    """
    work = root.build / "rpms"
    work.mkdir(exist_ok=True)
    if any(work.iterdir()):
        # Debian's rpm looks for gpg2, which Debian does not have.
        sign = f"rpmsign --define '__gpg /usr/bin/gpg' --define '_gpg_name {_NAME}' --addsign *.rpm"
        root.script(f"cd /build/rpms; export GNUPGHOME={_HOME}; {sign}")
    root.script(
        f"cd /build/rpms; export GNUPGHOME={_HOME}; createrepo_c --quiet .; "
        "gpg --batch --yes --armor --detach-sign --output repodata/repomd.xml.asc repodata/repomd.xml"
    )
    _adopt(work, target)


def fill_apt(root: BuildRoot, *closures: Closure) -> Path:
    """A directory below /build with the packages of closures, to which own packages can be added."""
    work = root.build / "apt"
    work.mkdir()
    for closure in closures:
        place(root, closure, work)
    repack(root, [path for path in sorted(work.iterdir()) if path.stat().st_size > _LARGE])
    return work


def repack(root: BuildRoot, packages: Sequence[Path]) -> None:
    """Compress the files of packages with zstd instead of xz; nothing inside changes.

    Unpacking docker.io takes 2.2 s of CPU with xz and 0.2 s with zstd, on every node of every lab.
    """
    for path in packages:
        inside = f"/build/{path.relative_to(root.build).as_posix()}"
        root.script(
            "rm -rf /build/repack; mkdir /build/repack; cd /build/repack; "
            f"ar x {inside}; test -e data.tar.xz || exit 0; rm {inside}; "
            # no pipe: the end of its first half would be nobody's
            "xz -d data.tar.xz; zstd -q -9 -T0 data.tar -o data.tar.zst; rm data.tar; "
            f"ar rc {inside} debian-binary control.tar.* data.tar.zst"
        )


def _adopt(source: Path, target: Path) -> None:
    """Move a finished repository out of the root; in the bundle it belongs to the user and anybody may read it."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    shutil.rmtree(source)
