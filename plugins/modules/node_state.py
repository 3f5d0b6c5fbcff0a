#!/usr/bin/python
"""Ansible module: read in one execution all that the roles declare in their meta/state.yml.

Ansible's own modules read packages, services and files one kind at a time, each at the cost of an execution on every
node (0.2 to 0.4 s), and the roles of a run need seven kinds.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_state
short_description: Facts about a node that roles declare to need
description:
  - Returns C(ansible_facts.node_state) and the facts of the distribution. Changes nothing.
  - The action of the same name merges C(meta/state.yml) of all roles beside it, and reads a node once per run.
  - A role declares only what no other role changes, so that the facts stay true during the run.
options:
  refresh:
    description: Read the node again although its state is known.
    type: bool
    default: false
  packages:
    description: Whether packages are read, into C(packages), C(held) and C(packages_unfinished).
    type: bool
    default: false
  units:
    description: Names or patterns of systemd units, for C(units).
    type: list
    elements: str
    default: []
  modules:
    description: Kernel modules; C(modules) names those that the kernel has, loaded or built in.
    type: list
    elements: str
    default: []
  sysctls:
    description: Kernel settings, for C(sysctls); null is one that the kernel does not have.
    type: list
    elements: str
    default: []
  files:
    description: Paths or patterns; C(files) holds mode, mtime, target, mounted and, up to one megabyte, sha256 of each.
    type: list
    elements: str
    default: []
  contents:
    description: Paths or patterns of text files without secrets; C(contents) holds their text.
    type: list
    elements: str
    default: []
  free_space:
    description: Directories; C(free_mb) tells what is left where each is, or will be.
    type: list
    elements: str
    default: []
"""

RETURN = r"""
ansible_facts:
  description: The facts of the distribution, and the declared state under the key C(node_state).
  returned: always
  type: dict
"""

import glob
import hashlib
import os
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.facts.system.distribution import DistributionFactCollector

HASHED_UP_TO = 2**20
UNKNOWN_UNIT = {"enabled": "", "active": False}


def read_text(path: str) -> str:
    """The content of a file, empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def expand(patterns: list[str]) -> list[str]:
    """The existing paths that match."""
    return sorted(path for pattern in patterns for path in glob.glob(pattern))


def output_lines(module: AnsibleModule, *argv: str) -> list[str]:
    """The lines that a command prints; none when there is no such command or it failed."""
    program = module.get_bin_path(argv[0])
    if program is None:
        return []
    code, out, _ = module.run_command([program, *argv[1:]])
    return out.splitlines() if code == 0 else []


def dpkg_state(module: AnsibleModule) -> dict:
    """Packages by dpkg, and whether it was interrupted."""
    installed, provided, held = {}, [], []
    unfinished = bool(glob.glob("/var/lib/dpkg/updates/[0-9]*"))
    for line in output_lines(module, "dpkg-query", "-W", "-f=${db:Status-Abbrev}|${Package}|${Version}|${Provides}\n"):
        status, name, version, provides = line.split("|", 3)
        if status[1] == "i":
            installed[name] = version
            provided += [word.split()[0] for word in provides.split(",") if word.strip()]
        unfinished |= status[1] not in "inc"
        if status[0] == "h":
            held.append(name)
    return {"packages": {**dict.fromkeys(provided, ""), **installed}, "held": held, "packages_unfinished": unfinished}


def rpm_state(module: AnsibleModule) -> dict:
    """Packages by rpm."""
    installed, provided = {}, []
    for line in output_lines(module, "rpm", "-qa", "--qf", "%{NAME}|%{VERSION}-%{RELEASE}|[%{PROVIDENAME} ]\n"):
        name, version, provides = line.split("|", 2)
        installed[name] = version
        # Not files and capabilities such as libc.so.6()(64bit): nobody installs those by name.
        provided += [word for word in provides.split() if not set("(/") & set(word)]
    return {"packages": {**dict.fromkeys(provided, ""), **installed}, "held": [], "packages_unfinished": False}


def package_state(module: AnsibleModule, family: str) -> dict:
    """Installed packages with their versions; a name that another package provides counts, as it does for apt and dnf.

    The family decides, because dpkg and rpm may be installed on top of each other.
    """
    return dpkg_state(module) if family == "Debian" else rpm_state(module)


def unit_state(module: AnsibleModule, patterns: list[str]) -> dict:
    """Whether each matching unit starts at boot, and whether it runs now."""
    known = {pattern: UNKNOWN_UNIT for pattern in patterns if "*" not in pattern}
    for line in output_lines(module, "systemctl", "list-unit-files", "--no-legend", "--no-pager", *patterns):
        name, enabled = line.split()[:2]
        known[name] = {**UNKNOWN_UNIT, "enabled": enabled}
    active = ("systemctl", "list-units", "--state=active", "--plain", "--no-legend", *patterns)
    for line in output_lines(module, *active):
        name = line.split()[0]
        known[name] = {**known.get(name, UNKNOWN_UNIT), "active": True}
    return known


def kernel_modules(names: list[str]) -> list[str]:
    """The modules that the kernel has, loaded or built in."""
    builtin = read_text(f"/lib/modules/{os.uname().release}/modules.builtin")
    filesystems = read_text("/proc/filesystems").split()
    return [
        name
        for name in names
        if os.path.isdir(f"/sys/module/{name}") or f"/{name}.ko" in builtin or name in filesystems
    ]


def file_state(path: str, mounts: set[str]) -> dict:
    """What is known of a file without its content."""
    status = os.stat(path) if os.path.exists(path) else os.lstat(path)
    digest = ""
    if stat.S_ISREG(status.st_mode) and status.st_size <= HASHED_UP_TO:
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
    return {
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "mtime": status.st_mtime,
        "target": os.path.realpath(path),
        "mounted": path in mounts,
        "sha256": digest,
    }


def free_mb(path: str) -> int:
    """Space left for unprivileged writers on the file system of `path` or of its nearest existing parent, in MB."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize // 2**20


def main() -> None:
    """Run the module."""
    lists = ("units", "modules", "sysctls", "files", "contents", "free_space")
    spec: dict = {name: {"type": "list", "elements": "str", "default": []} for name in lists}
    spec.update({name: {"type": "bool", "default": False} for name in ("packages", "refresh")})
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.run_command_environ_update = {"LC_ALL": "C", "LANG": "C"}
    params = module.params
    facts = DistributionFactCollector().collect(module=module)
    mounts = {line.split()[4] for line in read_text("/proc/self/mountinfo").splitlines()}
    sysctls = {name: read_text("/proc/sys/" + name.replace(".", "/")).strip() or None for name in params["sysctls"]}
    state = {
        **(package_state(module, facts["os_family"]) if params["packages"] else {}),
        "units": unit_state(module, params["units"]) if params["units"] else {},
        "modules": kernel_modules(params["modules"]),
        "sysctls": sysctls,
        "files": {path: file_state(path, mounts) for path in expand(params["files"])},
        "contents": {path: read_text(path) for path in expand(params["contents"])},
        "free_mb": {path: free_mb(path) for path in params["free_space"]},
    }
    module.exit_json(changed=False, ansible_facts={**facts, "node_state": state})


if __name__ == "__main__":
    main()
