#!/usr/bin/python
"""Ansible module: fetch one large file whose sha256 is known, read and summed in a single pass.

get_url reads a fetched file three times more (sha1, sha256, md5): 3 s of the minute that a lab takes for its archive of
images, and longer than the transfer itself on an emulated processor.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: verified_download
short_description: Fetch a large file and keep it only when its sha256 is the expected one
description:
  - Fetches a file in one pass that writes and sums it, and moves it to its place, readable by root alone, when the sum
    is right.
options:
  url:
    description: Where the file is.
    type: str
    required: true
  dest:
    description: Path of the file on the node; the directory has to exist.
    type: path
    required: true
  sha256:
    description: The expected sum; empty accepts any content.
    type: str
    default: ""
  timeout:
    description: Seconds to wait for the next bytes.
    type: int
    default: 30
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


def download(url: str, target: str, timeout: int) -> str:
    """Fetch into `target` and return the sha256. Raises OSError, also for a transfer that ended early."""
    digest, size = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=timeout) as answer, open(target, "wb") as file:
        while block := answer.read(1 << 20):
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
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    url, dest, expected, timeout = (module.params[name] for name in ("url", "dest", "sha256", "timeout"))
    if expected and os.path.exists(dest) and download(f"file://{dest}", os.devnull, timeout) == expected:
        module.exit_json(changed=False, sha256=expected)
    if module.check_mode:
        module.exit_json(changed=True, sha256=expected)
    partial = f"{dest}.part"
    try:
        actual = download(url, partial, timeout)
        if expected and actual != expected:
            module.fail_json(msg=f"{url} has the sha256 {actual}, not {expected}")
        os.chmod(partial, 0o600)
        os.replace(partial, dest)
    except OSError as problem:
        module.fail_json(msg=f"{url} could not be fetched to {dest}: {problem}")
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    module.exit_json(changed=True, sha256=actual)


if __name__ == "__main__":
    main()
