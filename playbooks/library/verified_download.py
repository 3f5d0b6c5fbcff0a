#!/usr/bin/python
"""Ansible module: fetch one large file whose sha256 is known, read and summed in a single pass."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verified_download
short_description: Fetch a large file and keep it only when its sha256 is the expected one
description:
  - Fetches a file in one pass that writes and sums it, and puts it in its place when the sum is right.
  - C(ansible.builtin.get_url) reads a fetched file four more times for its results, which costs an emulated processor
    longer than the transfer.
options:
  url:
    description: Where the file is.
    type: str
    required: true
  dest:
    description: Where it will be; the directory has to exist.
    type: path
    required: true
  sha256:
    description: The sum that it must have; empty takes whatever comes.
    type: str
    default: ""
  mode:
    description: Mode as an octal string.
    type: str
    default: "0600"
  timeout:
    description: Seconds to wait for the next bytes.
    type: int
    default: 30
author:
  - The labctl maintainers (@labctl)
"""

EXAMPLES = r"""
- name: Fetch the image archive
  verified_download:
    url: http://192.168.56.1:60080/images.tar
    dest: /var/tmp/images.tar
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

RETURN = r"""
sha256:
  description: The sum of the file.
  returned: always
  type: str
"""

import hashlib
import os
import urllib.request

from ansible.module_utils.basic import AnsibleModule

BLOCK = 1 << 20


def sum_of(path: str) -> str:
    """The sha256 of a file; empty when there is none."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def download(url: str, target: str, timeout: int) -> str:
    """Fetch into `target`; the sha256 of what came. Raises OSError, also for a transfer that ended early."""
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=timeout) as answer, open(target, "wb") as file:
        while block := answer.read(BLOCK):
            digest.update(block)
            file.write(block)
            size += len(block)
        announced = int(answer.headers.get("Content-Length") or size)
    if size != announced:
        raise OSError(f"the transfer ended after {size} of {announced} bytes")
    return digest.hexdigest()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "sha256": {"type": "str", "default": ""},
            "mode": {"type": "str", "default": "0600"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    url, dest, wanted = (module.params[name] for name in ("url", "dest", "sha256"))
    there = sum_of(dest) if wanted else ""
    if wanted and there == wanted:
        module.exit_json(changed=False, sha256=there)
    if module.check_mode:
        module.exit_json(changed=True, sha256=wanted)
    fresh = f"{dest}.part"
    try:
        found = download(url, fresh, module.params["timeout"])
        if wanted and found != wanted:
            module.fail_json(msg=f"{url} has the sha256 {found}, not {wanted}")
        os.chmod(fresh, int(module.params["mode"], 8))
        os.replace(fresh, dest)
    except OSError as problem:
        module.fail_json(msg=f"{url} could not be fetched to {dest}: {problem}")
    finally:
        if os.path.exists(fresh):
            os.remove(fresh)
    module.exit_json(changed=True, sha256=found)


if __name__ == "__main__":
    main()
