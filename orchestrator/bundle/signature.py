"""Signatures of bundles that go from hand to hand: by ssh-keygen, over the manifest with the sums of all files."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestrator import proc
from orchestrator.bundle.manifest import MANIFEST, SIGNATURE, BrokenBundleError, BundleInfo
from orchestrator.errors import HostError, SpecError

_PURPOSE = "labctl-bundle"
_SIGNER = "bundle"
_PUBLIC_KEY = re.compile(r"(ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/]+=*( [^\n]*)?")


def sign(bundle: BundleInfo, key: Path) -> Path:
    """Sign a bundle with a private SSH key; the signature lies beside its manifest. Raises HostError."""
    target = bundle.path / SIGNATURE
    target.unlink(missing_ok=True)
    try:
        proc.run(["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", _PURPOSE, str(bundle.path / MANIFEST)])
    except proc.ProcessFailed as failed:
        raise HostError(
            f"{bundle.id} cannot be signed with {key}: {failed.result.tail}", fix="ssh-keygen -t ed25519 -f KEY"
        ) from None
    return target


@dataclass(frozen=True)
class Flaw:
    """Why a bundle does not have the signature that is required of it, and what helps."""

    what: str
    fix: str


def read_key(file: Path) -> str:
    """The public SSH key in a file. Raises SpecError."""
    fix = "name the .pub file that ssh-keygen wrote beside the private key"
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SpecError(f"the public SSH key {file} cannot be read: {why}", fix=fix) from None
    if not _PUBLIC_KEY.fullmatch(key):
        raise SpecError(f"{file} is not a public SSH key", fix=fix)
    return key


def find_flaw(bundle: BundleInfo, key: Path) -> Flaw | None:
    """Why the bundle is not signed with this public SSH key; None where it is. Raises SpecError for what is no key."""
    signer, signature = f"{_SIGNER} {read_key(key)}\n", bundle.path / SIGNATURE
    sign_it = f"labctl bundle sign --bundle {bundle.id} --key KEY, with the private key of {key}"
    if not signature.is_file():
        return Flaw(f"{bundle.id} has no signature", f"where it was made: {sign_it}; then export and import it again")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="labctl-") as allowed:
        allowed.write(signer)
        allowed.flush()
        if _ssh_keygen("verify", bundle, "-f", allowed.name, "-I", _SIGNER).ok:
            return None
    valid = _ssh_keygen("check-novalidate", bundle)
    if valid.ok:
        other = valid.stdout.strip().rpartition(" ")[2]
        return Flaw(f"{bundle.id} is signed by another key ({other}), not by {key}", f"ask who made it, or: {sign_it}")
    return Flaw(
        f"{bundle.id} was changed after it was signed: its manifest is not the one that the signature is for",
        f"labctl bundle import FILE --key {key}   (the file as it was exported)",
    )


def _ssh_keygen(action: str, bundle: BundleInfo, *options: str) -> proc.Result:
    command = ["ssh-keygen", "-Y", action, *options, "-n", _PURPOSE, "-s", str(bundle.path / SIGNATURE)]
    return proc.run(command, stdin=(bundle.path / MANIFEST).read_bytes(), check=False)


def require(bundle: BundleInfo, key: Path) -> None:
    """Raise BrokenBundleError unless the bundle has a good signature of this public SSH key."""
    if flaw := find_flaw(bundle, key):
        raise BrokenBundleError(flaw.what, fix=flaw.fix)
