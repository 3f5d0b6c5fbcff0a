"""The part of an archive of images that workers need: what only the control plane runs is half of the whole."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import BinaryIO

_CONTROL_PLANE = re.compile("/(kube-apiserver|kube-controller-manager|kube-scheduler|etcd):")
_LISTING = "manifest.json"


def derive(whole: BinaryIO, target: Path) -> None:
    """Write the workers' archive; the same input gives the same bytes, so that it need not travel with the whole."""
    with tarfile.open(fileobj=whole) as source, tarfile.open(target, mode="w", format=tarfile.GNU_FORMAT) as part:
        stream = source.extractfile(_LISTING)
        assert stream is not None
        kept = [image for image in json.load(stream) if not _CONTROL_PLANE.search(image["RepoTags"][0])]
        wanted = {name for image in kept for name in (image["Config"], *image["Layers"])}
        # A layer's folder stands before it.
        wanted |= {name.rpartition("/")[0] for name in wanted}
        for member in source:
            if member.name in wanted:
                part.addfile(member, source.extractfile(member) if member.isfile() else None)
        body = json.dumps(kept).encode()
        listing = tarfile.TarInfo(_LISTING)
        listing.size, listing.mode = len(body), 0o644
        part.addfile(listing, io.BytesIO(body))
