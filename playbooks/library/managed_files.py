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
        description: Absolute path on the node, or one below the home directory of each of C(users).
        type: path
        required: true
      content:
        description: The whole content, or the lines between the markers when C(block) is set.
        type: str
        default: ""
      source:
        description: A file of the node whose content is wanted instead of C(content).
        type: path
        default: ""
      link:
        description: Target of the symbolic link that is wanted instead of a file.
        type: str
        default: ""
      users:
        description: Keep the file once in the home directory of each of these users, owned by them and their group.
        type: list
        elements: str
        default: []
      overwrite:
        description: A false leaves a file that is there as it is, for what belongs to its reader.
        type: bool
        default: true
      directory_mode:
        description: Mode of parent directories that are made; in a home directory they belong to its user.
        type: str
        default: "0755"
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
  apply:
    description: Program to run each time after the files are in place; what it prints, line by line, are changes.
    type: list
    elements: str
    default: []
  unchanged:
    description: Regular expression of the lines of C(apply) that tell of no change.
    type: str
    default: ""
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

- name: Keep a manifest and its objects
  managed_files:
    files:
      - path: /etc/kubernetes/labctl/dns.yml
        content: "{{ lookup('ansible.builtin.template', 'dns.yml.j2') }}"
    apply: [kubectl, apply, -f, /etc/kubernetes/labctl/dns.yml]
    unchanged: " unchanged$"
"""

RETURN = r"""
changed_files:
  description: Paths of the files that were changed or, in check mode, would be.
  returned: always
  type: list
  elements: str
applied:
  description: Changes that the program told of.
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
from collections.abc import Callable, Iterator

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


def account(module: AnsibleModule, user: str) -> pwd.struct_passwd:
    """The user's entry of the node's user database."""
    try:
        return pwd.getpwnam(user)
    except KeyError:
        module.fail_json(msg=f"{user} is no user of this node")


def each_file(module: AnsibleModule, files: list[dict]) -> Iterator[dict]:
    """The files, those for users once for each home directory."""
    for wanted in files:
        for user in wanted["users"]:
            entry = account(module, user)
            group = grp.getgrgid(entry.pw_gid).gr_name
            yield {**wanted, "path": os.path.join(entry.pw_dir, wanted["path"]), "owner": user, "group": group}
        if not wanted["users"]:
            if not os.path.isabs(wanted["path"]):
                module.fail_json(msg=f"{wanted['path']} is not an absolute path")
            yield wanted


def make_directory(path: str, wanted: dict) -> None:
    """Make a directory and its missing parents; those below a home directory belong to its user."""
    if os.path.isdir(path):
        return
    make_directory(os.path.dirname(path), wanted)
    os.mkdir(path)
    os.chmod(path, int(wanted["directory_mode"], 8))
    if wanted["users"]:
        os.chown(path, pwd.getpwnam(wanted["owner"]).pw_uid, grp.getgrnam(wanted["group"]).gr_gid)


def write(module: AnsibleModule, wanted: dict, text: str) -> None:
    """Replace the file by a rename; in place only where a rename is impossible (a bind mount)."""
    path = wanted["path"]
    make_directory(os.path.dirname(path), wanted)
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


def bring_link(wanted: dict, check: bool) -> tuple[bool, dict]:
    """Bring one symbolic link to its target; returns whether it changed, and the difference."""
    path, target = wanted["path"], wanted["link"]
    before = os.readlink(path) if os.path.islink(path) else ""
    if before != target and not check:
        make_directory(os.path.dirname(path), wanted)
        replacement = f"{path}.new"
        if os.path.lexists(replacement):
            os.unlink(replacement)
        os.symlink(target, replacement)
        os.replace(replacement, path)
    return before != target, {"before_header": path, "after_header": path, "before": before, "after": target}


def wanted_text(module: AnsibleModule, wanted: dict, before: str | None) -> str:
    """The content that the file shall have."""
    if wanted["block"]:
        return with_block(before or "", wanted["block"], wanted["content"], wanted["state"] == "present")
    if not wanted["source"]:
        return wanted["content"]
    text = read(os.path.realpath(wanted["source"]))
    if text is None:
        module.fail_json(msg=f"{wanted['source']}, the source of {wanted['path']}, is not there")
    return text


def remove(module: AnsibleModule, path: str) -> tuple[bool, dict]:
    """Remove one file; returns whether it was there, and the difference."""
    existed = os.path.lexists(path)
    if existed and not module.check_mode:
        attempt(module, path, lambda: os.unlink(path))
    return existed, {"before_header": path, "before": "present\n", "after_header": path, "after": ""}


def bring(module: AnsibleModule, wanted: dict) -> tuple[bool, dict]:
    """Bring one file to its state; returns whether it changed, and the difference."""
    path, block, mode = wanted["path"], wanted["block"], int(wanted["mode"], 8)
    if os.path.isdir(path) and not os.path.islink(path):
        module.fail_json(msg=f"{path} is a directory")
    if wanted["state"] == "absent" and not block:
        return remove(module, path)
    if wanted["link"]:
        return bring_link(wanted, module.check_mode)
    existed, before = os.path.lexists(path), read(path)
    if before is None and wanted["state"] == "absent":
        return False, {}
    after = before if before is not None and not wanted["overwrite"] else wanted_text(module, wanted, before)
    changed = before != after
    if changed and not module.check_mode:
        attempt(module, path, lambda: write(module, wanted, after))
    if os.path.exists(path) and not (block and existed):
        changed |= fix_attributes(path, wanted["owner"], wanted["group"], mode, module.check_mode)
    shown = {"before_header": path, "after_header": path}
    if mode & 0o044 == 0:  # what others may not read does not go into a log either
        return changed, {**shown, "before": "", "after": "(withheld)\n"}
    return changed, {**shown, "before": printable(before or ""), "after": printable(after)}


def apply(module: AnsibleModule, program: list[str], unchanged: str) -> list[str]:
    """Run the program and return the lines in which it tells of a change; a failure ends the module."""
    code, out, err = module.run_command(program)
    if code != 0:
        last = " / ".join((err or out).strip().splitlines()[-3:])
        module.fail_json(msg=f"{' '.join(program)} ended with {code}: {last}")
    return [line for line in out.splitlines() if line.strip() and not (unchanged and re.search(unchanged, line))]


def attempt(module: AnsibleModule, path: str, action: Callable[[], None]) -> None:
    """Do it, or end the module with the path and the reason."""
    try:
        action()
    except OSError as error:
        module.fail_json(msg=f"{path} could not be changed: {error.strerror}")


def printable(text: str) -> str:
    """Text that fits into the module's answer, whatever bytes the file had."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


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
                    "source": {"type": "path", "default": ""},
                    "link": {"type": "str", "default": ""},
                    "overwrite": {"type": "bool", "default": True},
                    "directory_mode": {"type": "str", "default": "0755"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0644"},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
            },
            "apply": {"type": "list", "elements": "str", "default": []},
            "unchanged": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    changed_files, differences = [], []
    for wanted in each_file(module, module.params["files"]):
        changed, difference = bring(module, wanted)
        if changed:
            changed_files.append(wanted["path"])
            differences.append(difference)
    program, applied = module.params["apply"], []
    if program and not module.check_mode:
        applied = apply(module, program, module.params["unchanged"])
    changed = bool(changed_files or applied)
    module.exit_json(changed=changed, changed_files=changed_files, applied=applied, diff=differences)


if __name__ == "__main__":
    main()
