#!/usr/bin/python
"""Ansible module: bring all small files of a role into their state in one execution.

copy, template, file and blockinfile take one to three executions a file, of 0.2 to 0.4 s each; node_base alone keeps
fifteen files, and a provision that changes nothing would take a minute longer. They also cannot write a file that is
a mount point and leave one that its reader edits alone.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_files
short_description: Write, block-edit or remove several small text files at once
description:
  - Brings every listed file to the given content, owner and mode and leaves a correct file untouched.
  - Missing directories are created, private ones for a file that only its owner may read.
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
        description: A file of the node to copy, in place of C(content).
        type: path
        default: ""
      users:
        description: Keep the file once in the home directory of each of these users, owned by them and their group.
        type: list
        elements: str
        default: []
      overwrite:
        description: A false leaves an existing file as it is, for what belongs to its reader.
        type: bool
        default: true
      block:
        description: Name of a marked block that alone is managed in the file; the rest of the file stays.
        type: str
        default: ""
      owner:
        description: Owner of the file; its group becomes the file's.
        type: str
        default: root
      mode:
        description: Mode as an octal string. A block keeps the mode of an existing file.
        type: str
        default: "0644"
      state:
        description: Whether the file, or the block, exists.
        type: str
        choices: [present, absent]
        default: present
"""

EXAMPLES = r"""
- name: Keep the names of the lab's nodes
  managed_files:
    files:
      - path: /etc/hosts
        block: node_base
        content: 192.168.56.10 m-k8s
"""

RETURN = r"""
changed_files:
  description: Paths of the files that were changed or, in check mode, would be.
  returned: always
  type: list
  elements: str
"""

import os
import pwd
import re
import tempfile
from collections.abc import Iterator

from ansible.module_utils.basic import AnsibleModule

FILE_OPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "default": ""},
    "source": {"type": "path", "default": ""},
    "users": {"type": "list", "elements": "str", "default": []},
    "overwrite": {"type": "bool", "default": True},
    "block": {"type": "str", "default": ""},
    "owner": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def text_with_block(text: str, name: str, lines: str, present: bool) -> str:
    """The text with the block `name` holding exactly `lines`; appended when new, duplicates removed."""
    begin, end = f"# BEGIN {name} (managed)", f"# END {name} (managed)"
    pattern = re.compile(rf"^{re.escape(begin)}\n.*?^{re.escape(end)}\n?", re.DOTALL | re.MULTILINE)
    block = f"{begin}\n{lines.rstrip()}\n{end}\n" if present else ""
    first = pattern.search(text)
    if first is None:
        return text + ("\n" if block and text and not text.endswith("\n") else "") + block
    return text[: first.start()] + block + pattern.sub("", text[first.end() :])


def read_text(path: str) -> str | None:
    """The content of a regular file; None when there is none or when a symlink stands in its place."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def expand_users(module: AnsibleModule, files: list[dict]) -> Iterator[dict]:
    """The files with their owner's account; those for users once for each home directory."""
    for file in files:
        for user in file["users"] or [file["owner"]]:
            try:
                account = pwd.getpwnam(user)
            except KeyError:
                module.fail_json(msg=f"{user} is no user of this node")
            path = os.path.join(account.pw_dir, file["path"]) if file["users"] else file["path"]
            if not os.path.isabs(path):
                module.fail_json(msg=f"{path} is not an absolute path")
            yield {**file, "path": path, "account": account}


def create_directory(path: str, file: dict) -> None:
    """Create a directory and its missing parents; those below a home directory belong to its user."""
    if os.path.isdir(path):
        return
    create_directory(os.path.dirname(path), file)
    os.mkdir(path)
    os.chmod(path, 0o755 if int(file["mode"], 8) & 0o077 else 0o700)
    if file["users"]:
        os.chown(path, file["account"].pw_uid, file["account"].pw_gid)


def write(module: AnsibleModule, file: dict, text: str) -> None:
    """Replace the file by a rename; in place only where a rename is impossible (a bind mount).

    The new file is written beside the old one: who watches a directory may overlook a file that comes from another one
    (containerd does, with the configuration of the pod network).
    """
    directory = os.path.dirname(file["path"])
    create_directory(directory, file)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".ansible_tmp")
    module.add_cleanup_file(temporary)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)
    module.atomic_move(temporary, file["path"], unsafe_writes=True)


def desired_text(module: AnsibleModule, file: dict, before: str | None) -> str | None:
    """The content that the file is to have; None for no file."""
    if file["block"]:
        present = file["state"] == "present"
        return text_with_block(before or "", file["block"], file["content"], present) if before or present else None
    if file["state"] == "absent":
        return None
    if before is not None and not file["overwrite"]:
        return before
    if not file["source"]:
        return str(file["content"])
    text = read_text(os.path.realpath(file["source"]))
    if text is None:
        module.fail_json(msg=f"{file['source']}, the source of {file['path']}, does not exist")
    return text


def converge(module: AnsibleModule, file: dict) -> tuple[bool, dict]:
    """Bring one file to its state; returns whether it changed, and the difference."""
    path, mode = file["path"], int(file["mode"], 8)
    existed = os.path.lexists(path)
    if os.path.isdir(path) and not os.path.islink(path):
        module.fail_json(msg=f"{path} is a directory")
    # what is removed may hold any bytes
    before = None if file["state"] == "absent" and not file["block"] else read_text(path)
    after = desired_text(module, file, before)
    changed = existed if after is None and not file["block"] else before != after
    if changed and not module.check_mode:
        try:
            os.unlink(path) if after is None else write(module, file, after)
        except OSError as error:
            module.fail_json(msg=f"{path} could not be changed: {error.strerror}")
    if after is not None and os.path.exists(path) and not (file["block"] and existed):
        changed = module.set_owner_if_different(path, file["account"].pw_uid, changed)
        changed = module.set_group_if_different(path, file["account"].pw_gid, changed)
        changed = module.set_mode_if_different(path, mode, changed)
    # what others may not read does not go into a log either
    shown = (before, after) if mode & 0o044 else ("", "(withheld)\n")
    printable = [(text or "").encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in shown]
    return changed, {"before_header": path, "after_header": path, "before": printable[0], "after": printable[1]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": FILE_OPTIONS}},
        supports_check_mode=True,
    )
    results = [(file["path"], *converge(module, file)) for file in expand_users(module, module.params["files"])]
    changes = [(path, difference) for path, changed, difference in results if changed]
    module.exit_json(
        changed=bool(changes),
        changed_files=[path for path, _ in changes],
        diff=[difference for _, difference in changes],
    )


if __name__ == "__main__":
    main()
