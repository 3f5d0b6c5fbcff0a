#!/usr/bin/python
"""Ansible module: bring all files that one role manages on a node into their state, in one module execution."""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_files
short_description: Write, block-edit or remove several small text files at once
description:
  - Brings every listed file to the given content, owner and mode and leaves a file that is right untouched.
  - One execution stands for a copy or template task per file, each of which costs two module executions.
  - A file that is a mount point is written in place, because it cannot be replaced by a rename.
options:
  files:
    description: The files, in the order in which they are handled.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path on the node. Missing parent directories are made with mode 0755.
        type: path
        required: true
      content:
        description: The whole content, or the lines between the markers when C(block) is set.
        type: str
        default: ""
      block:
        description: Name of a marked block that alone is managed in the file; the rest of the file stays.
        type: str
        default: ""
      owner:
        description: Owner of the file.
        type: str
        default: root
      group:
        description: Group of the file.
        type: str
        default: root
      mode:
        description: Mode as an octal string. A block keeps the mode of an existing file.
        type: str
        default: "0644"
      state:
        description: Whether the file, or the block, is there.
        type: str
        choices: [present, absent]
        default: present
author:
  - The labctl maintainers (@labctl)
"""

EXAMPLES = r"""
- name: Configure the kernel for pod traffic
  managed_files:
    files:
      - path: /etc/sysctl.d/90-kubernetes.conf
        content: |
          net.ipv4.ip_forward = 1
      - path: /etc/hosts
        block: node_base
        content: |
          192.168.56.10 m-k8s
"""

RETURN = r"""
changed_files:
  description: Paths of the files that were changed or, in check mode, would be.
  returned: always
  type: list
  elements: str
"""

import grp
import os
import pwd
import re
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule


def with_block(text: str, name: str, lines: str, present: bool) -> str:
    """The text with the block `name` holding exactly `lines`; appended when new, duplicates removed."""
    begin, end = f"# BEGIN {name} (managed)", f"# END {name} (managed)"
    pattern = re.compile(rf"^{re.escape(begin)}\n.*?^{re.escape(end)}\n?", re.DOTALL | re.MULTILINE)
    block = f"{begin}\n{lines.rstrip()}\n{end}\n" if present else ""
    first = pattern.search(text)
    if first is None:
        if text and not text.endswith("\n"):
            text += "\n" if present else ""
        return text + block
    rest = pattern.sub("", text[first.end() :])
    return text[: first.start()] + block + rest


def read(path: str) -> str | None:
    """The content of a regular file; None when there is none or when a symlink stands in its place."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def write(module: AnsibleModule, path: str, text: str) -> None:
    """Replace the file by a rename; in place only where a rename is impossible (a bind mount)."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    module.atomic_move(temporary, path, unsafe_writes=True)


def fix_attributes(path: str, owner: str, group: str, mode: int, check: bool) -> bool:
    """Set owner, group and mode where they differ; tells whether they did."""
    status = os.lstat(path)
    uid, gid = pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
    changed = False
    if (status.st_uid, status.st_gid) != (uid, gid):
        changed = True
        if not check:
            os.chown(path, uid, gid)
    if stat.S_IMODE(status.st_mode) != mode:
        changed = True
        if not check:
            os.chmod(path, mode)
    return changed


def bring(module: AnsibleModule, wanted: dict) -> tuple[bool, dict]:
    """Bring one file to its state; returns whether it changed, and the difference."""
    path, block, present = wanted["path"], wanted["block"], wanted["state"] == "present"
    before = read(path)
    if block:
        after: str | None = with_block(before or "", block, wanted["content"], present)
        if before is None and not present:
            after = None
    else:
        after = wanted["content"] if present else None
    changed = before != after or (after is None and os.path.lexists(path))
    existed = os.path.lexists(path)
    if changed and not module.check_mode:
        try:
            if after is None:
                os.unlink(path)
            else:
                write(module, path, after)
        except OSError as error:
            module.fail_json(msg=f"{path} could not be written: {error.strerror}")
    if after is not None and os.path.exists(path) and not (block and existed):
        changed |= fix_attributes(path, wanted["owner"], wanted["group"], int(wanted["mode"], 8), module.check_mode)
    return changed, {"before_header": path, "after_header": path, "before": before or "", "after": after or ""}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "default": ""},
                    "block": {"type": "str", "default": ""},
                    "owner": {"type": "str", "default": "root"},
                    "users": {"type": "list", "elements": "str", "default": []},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0644"},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
            }
        },
        supports_check_mode=True,
    )
    changed_files, differences = [], []
    for wanted in module.params["files"]:
        changed, difference = bring(module, wanted)
        if changed:
            changed_files.append(wanted["path"])
            differences.append(difference)
    module.exit_json(changed=bool(changed_files), changed_files=changed_files, diff=differences)


if __name__ == "__main__":
    main()
