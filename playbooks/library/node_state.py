#!/usr/bin/python
"""Ansible facts module: what a node already is, read once, so that a role acts only where something differs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_state
short_description: Facts about packages, units, kernel settings and images of a node
description:
  - Returns C(ansible_facts.node_state). Reads only; costs one module execution for all roles of a run.
  - A role asks it only about what no other role changes, so that the facts stay true during the run.
options: {}
author:
  - The labctl maintainers (@labctl)
"""

EXAMPLES = r"""
- name: Look at the node
  node_state:
"""

RETURN = r"""
ansible_facts:
  description: The facts, under the key C(node_state).
  returned: always
  type: dict
"""

import glob
import hashlib
import os
import socket

from ansible.module_utils.basic import AnsibleModule

SYSCTLS = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.ipv4.ip_forward")
KERNEL_MODULES = ("overlay", "br_netfilter")
BOUND_FILES = ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname")
# Settings of a role, and what is written when they are taken up.
STALE = {
    "sshd": ("/etc/ssh/sshd_config.d/00-node-base.conf", "/run/sshd.pid"),
    "ca_debian": ("/usr/local/share/ca-certificates/node_base.crt", "/etc/ssl/certs/ca-certificates.crt"),
    "ca_redhat": (
        "/etc/pki/ca-trust/source/anchors/node_base.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ),
}
MARKERS = "/var/lib/labctl/images-"


def text_of(path: str) -> str:
    """The content of a file, empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def output(module: AnsibleModule, *argv: str) -> str:
    """Standard output of a command; empty when there is no such command or it failed."""
    program = module.get_bin_path(argv[0])
    if program is None:
        return ""
    code, out, _ = module.run_command([program, *argv[1:]])
    return out if code == 0 else ""


def debian_family() -> bool:
    """Whether dpkg is this system's package manager; either may be installed on top of the other."""
    fields = dict(line.split("=", 1) for line in text_of("/etc/os-release").splitlines() if "=" in line)
    named = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return bool({"debian", "ubuntu"} & set(named))


def packages(module: AnsibleModule) -> dict:
    """Installed packages with their versions, which of them are held, and whether dpkg was interrupted."""
    installed, provided, held, unfinished = {}, [], [], False
    if debian_family():
        unfinished = bool(glob.glob("/var/lib/dpkg/updates/[0-9]*"))
        listing = output(module, "dpkg-query", "-W", "-f=${db:Status-Abbrev}|${Package}|${Version}|${Provides}\n")
        for line in listing.splitlines():
            status, name, version, provides = line.split("|", 3)
            if status[1] == "i":
                installed[name] = version
                provided += [word.split()[0] for word in provides.split(",") if word.strip()]
            elif status[1] not in "nc":
                unfinished = True
            if status[0] == "h":
                held.append(name)
    else:
        listing = output(module, "rpm", "-qa", "--qf", "%{NAME}|%{VERSION}-%{RELEASE}|[%{PROVIDENAME} ]\n")
        for line in listing.splitlines():
            name, version, provides = line.split("|", 2)
            installed[name] = version
            # Not files and capabilities such as libc.so.6()(64bit): nobody installs those by name.
            provided += [word for word in provides.split() if not set("(/") & set(word)]
    # A name that another package provides counts as installed, as it does for the package manager.
    installed = {**dict.fromkeys(provided, ""), **installed}
    return {"packages": installed, "held": held, "packages_unfinished": unfinished}


def units(module: AnsibleModule) -> dict:
    """Services and swap units: whether they start at boot, and whether they run now."""
    known = {}
    files = output(module, "systemctl", "list-unit-files", "--type=service,swap", "--no-legend", "--no-pager")
    for line in files.splitlines():
        name, enabled = line.split()[:2]
        known[name] = {"enabled": enabled, "active": False}
    active = output(
        module, "systemctl", "list-units", "--type=service,swap", "--state=active", "--plain", "--no-legend"
    )
    for line in active.splitlines():
        known.setdefault(line.split()[0], {"enabled": "", "active": False})["active"] = True
    return known


def kernel(release: str) -> dict:
    """Modules present in the kernel and the sysctls that pod traffic needs; None is a sysctl that does not exist."""
    builtin = text_of(f"/lib/modules/{release}/modules.builtin")
    loaded = [name for name in KERNEL_MODULES if os.path.isdir(f"/sys/module/{name}") or f"/{name}.ko" in builtin]
    if "overlay" not in loaded and "\toverlay\n" in text_of("/proc/filesystems"):
        loaded.append("overlay")
    sysctls = {name: text_of("/proc/sys/" + name.replace(".", "/")).strip() or None for name in SYSCTLS}
    return {"modules": sorted(loaded), "sysctls": sysctls}


def swap() -> dict:
    """Swap in use now, and the lines of fstab that bring it back at boot."""
    in_use = [line.split()[0] for line in text_of("/proc/swaps").splitlines()[1:]]
    fields = [line.split() for line in text_of("/etc/fstab").splitlines()]
    in_fstab = [" ".join(words) for words in fields if len(words) > 2 and words[2] == "swap" and words[0][0] != "#"]
    return {"in_use": in_use, "in_fstab": in_fstab}


def selinux() -> dict:
    """SELinux now and at boot; `present` is False on a node that has none."""
    enforce = text_of("/sys/fs/selinux/enforce").strip()
    configured = ""
    for line in text_of("/etc/selinux/config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "SELINUX":
            configured = value.strip()
    now = {"1": "enforcing", "0": "permissive"}.get(enforce, "disabled")
    return {"present": bool(enforce), "now": now, "at_boot": configured}


def resolver() -> dict:
    """Who else writes resolv.conf on this node."""
    target = os.path.realpath("/etc/resolv.conf")
    return {
        "networkmanager": os.path.isdir("/etc/NetworkManager"),
        "dhclient": os.path.isdir("/etc/dhcp"),
        "resolved": target.startswith("/run/systemd/resolve/"),
    }


def free_mb(path: str) -> int:
    """Space left for unprivileged writers on the file system of `path` or of its nearest existing parent, in MB."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize // 2**20


def newer(wanted: str, result: str) -> bool:
    """Whether a file was written after what is made from it: a run that was killed in between left that to the next."""
    try:
        return os.stat(wanted).st_mtime > os.stat(result).st_mtime
    except OSError:
        return False


def node_keys() -> list[str]:
    """Sums of the private keys that lead from this node to the others, of those that only their users can read."""
    found = []
    for path in sorted(glob.glob("/root/.ssh/labctl_nodes") + glob.glob("/home/*/.ssh/labctl_nodes")):
        if os.stat(path).st_mode & 0o777 == 0o600:
            with open(path, "rb") as file:
                found.append(hashlib.sha256(file.read()).hexdigest())
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.run_command_environ_update = {"LC_ALL": "C", "LANG": "C"}
    mounted = {line.split()[4] for line in text_of("/proc/self/mountinfo").splitlines()}
    state = {
        "hostname": socket.gethostname(),
        **packages(module),
        "apt_lists": [os.path.basename(path) for path in glob.glob("/var/lib/apt/lists/*Release")],
        "units": units(module),
        **kernel(os.uname().release),
        "swap": swap(),
        "selinux": selinux(),
        "resolver": resolver(),
        "node_keys": node_keys(),
        "stale": {name: newer(*files) for name, files in STALE.items()},
        "mounted_files": [path for path in BOUND_FILES if path in mounted],
        "image_archives": {path[len(MARKERS) :]: text_of(path).split() for path in glob.glob(MARKERS + "*")},
        "free_mb": {path: free_mb(path) for path in ("/var/lib/docker", "/var/lib/containerd", "/var/lib/labctl")},
    }
    module.exit_json(changed=False, ansible_facts={"node_state": state})


if __name__ == "__main__":
    main()
