"""Signatures of bundles that go from hand to hand: by ssh-keygen, over the manifest with the sums of all files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from orchestrator import proc
from orchestrator.bundle.manifest import MANIFEST, SIGNATURE, BrokenBundleError, BundleInfo
from orchestrator.errors import HostError

_PURPOSE = "labctl-bundle"
_SIGNER = "bundle"


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


def require(bundle: BundleInfo, key: Path) -> None:
    """Raise BrokenBundleError unless the bundle has a good signature of this public SSH key."""
    signature = bundle.path / SIGNATURE
    if not signature.is_file():
        raise BrokenBundleError(f"{bundle.id} has no signature", fix="labctl bundle sign, where it was made")
    try:
        signer = f"{_SIGNER} {key.read_text(encoding='utf-8').strip()}\n"
    except (OSError, ValueError) as error:
        raise HostError(f"{key} cannot be read: {error}", fix="--key FILE, with a public SSH key") from None
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="labctl-") as allowed:
        allowed.write(signer)
        allowed.flush()
        check = ["ssh-keygen", "-Y", "verify", "-f", allowed.name, "-I", _SIGNER, "-n", _PURPOSE, "-s", str(signature)]
        result = proc.run(check, stdin=(bundle.path / MANIFEST).read_bytes(), check=False)
    if not result.ok:
        raise BrokenBundleError(
            f"{bundle.id} is not signed with {key}: {result.tail}", fix="ask who made it for the right key"
        )
