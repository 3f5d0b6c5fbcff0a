#!/usr/bin/python
"""Ansible module: remember the files of a node, and compare them later, by content, mode and time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_fingerprint
short_description: Prove that nothing touched the files of a node
description:
  - Without C(record), a run in check mode must find what was recorded last; the first real run records C(converged),
    and every later one must find that again.
options:
  record:
    description: Name under which the files are remembered; nothing is compared then.
    type: str
    default: ""
  check_run:
    description: Whether the playbook runs in check mode.
    type: bool
    default: false
author:
  - The labctl maintainers
"""

EXAMPLES = r"""
- name: Remember the bare node
  node_fingerprint:
    record: bare
"""

RETURN = r"""
compared:
  description: The record that the node was compared with; empty when it was recorded.
  type: str
  returned: always
files:
  description: How many files were looked at.
  type: int
  returned: always
"""

import hashlib
import json
import os
import stat

from ansible.module_utils.basic import AnsibleModule

# A tmpfs: it does not belong to what is compared.
STORE = "/run/molecule"
ROOTS = ("/etc", "/usr", "/opt", "/srv", "/home", "/root", "/var/lib/labctl", "/var/lib/kubelet/config.yaml")
# Ansible's own files, ssh's, and what services write for themselves.
LEFT_OUT = (
    ".ansible",
    ".bash_history",
    ".cache",
    ".kube/cache",
    "__pycache__",
    "/etc/cni/net.d/.",
    "/etc/resolv.conf.",
)
PACKAGES = ("/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite")
HASHED_UP_TO = 1_000_000


def entry_of(path, status):
    """What is compared of one file."""
    if stat.S_ISLNK(status.st_mode):
        return ["link", os.readlink(path)]
    if not stat.S_ISREG(status.st_mode):
        return ["other", stat.S_IMODE(status.st_mode), status.st_uid]
    digest = ""
    if path.startswith("/etc/") and status.st_size < HASHED_UP_TO:
        with open(path, "rb") as stream:
            digest = hashlib.sha256(stream.read()).hexdigest()
    return ["file", stat.S_IMODE(status.st_mode), status.st_uid, status.st_size, status.st_mtime_ns, digest]


def files():
    """Every file below the compared roots; packages by the content of their database."""
    found = {}
    for root in ROOTS:
        paths = [root] if os.path.isfile(root) else walk(root)
        for path in paths:
            if not any(part in path for part in LEFT_OUT):
                try:
                    found[path] = entry_of(path, os.lstat(path))
                except FileNotFoundError:
                    continue
    for path in PACKAGES:
        if os.path.exists(path):
            with open(path, "rb") as stream:
                found[path] = ["packages", hashlib.sha256(stream.read()).hexdigest()]
    return found


def walk(root):
    """All paths below a directory, the directory left out: its time changes when a file is replaced by itself."""
    for directory, _, names in os.walk(root):
        if directory != root:
            yield directory
        for name in names:
            yield os.path.join(directory, name)


def differences(before, now):
    """What differs, one line a path."""
    lines = ["gone: " + path for path in sorted(set(before) - set(now))]
    lines += ["new: " + path for path in sorted(set(now) - set(before))]
    both = sorted(set(now) & set(before))
    lines += [f"changed: {path} {before[path]} -> {now[path]}" for path in both if before[path] != now[path]]
    return lines


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"record": {"type": "str", "default": ""}, "check_run": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    now = json.loads(json.dumps(files()))
    os.makedirs(STORE, exist_ok=True)
    there = [name for name in ("converged", "bare") if os.path.exists(f"{STORE}/{name}.json")]
    record = module.params["record"]
    if not record and not module.params["check_run"] and "converged" not in there:
        record = "converged"
    if record:
        with open(f"{STORE}/{record}.json", "w", encoding="utf-8") as stream:
            json.dump(now, stream)
        module.exit_json(changed=False, compared="", files=len(now))
    if not there:
        module.fail_json(msg="nothing was recorded on this node: the prepare playbook has to record it as bare")
    with open(f"{STORE}/{there[0]}.json", encoding="utf-8") as stream:
        differing = differences(json.load(stream), now)
    if differing:
        run = "check mode" if module.params["check_run"] else "the repeated run"
        module.fail_json(msg=f"{run} touched the {there[0]} node: " + "; ".join(differing[:20]))
    module.exit_json(changed=False, compared=there[0], files=len(now))


if __name__ == "__main__":
    main()
