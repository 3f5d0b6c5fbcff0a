"""Rewrite an OCI config.json (or process.json) so that it asks for no more than this process can grant."""

import json
import os
import resource
import sys

CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()


def bounding_set():
    """Names (CAP_...) of the capabilities in this process's bounding set."""
    with open("/proc/self/status") as status:
        mask = next(int(line.split()[1], 16) for line in status if line.startswith("CapBnd:"))
    return {"CAP_" + name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1}


def limited(process, granted, oom_score_adj, hard_limits):
    """The process section with only granted capabilities, and without what needs an absent CAP_SYS_RESOURCE."""
    process = dict(process)
    if process.get("capabilities"):
        process["capabilities"] = {
            kind: [name for name in names if name in granted]
            for kind, names in process["capabilities"].items()
            if names is not None
        }
    if "CAP_SYS_RESOURCE" not in granted:
        if process.get("oomScoreAdj", 0) < oom_score_adj:
            process["oomScoreAdj"] = oom_score_adj
        if process.get("rlimits"):
            process["rlimits"] = [clamp(limit, hard_limits) for limit in process["rlimits"]]
    return process


def clamp(limit, hard_limits):
    """One rlimit, its hard and soft value no higher than this process's own hard limit."""
    most = hard_limits.get(limit["type"], limit["hard"])
    return {**limit, "hard": min(limit["hard"], most), "soft": min(limit["soft"], most)}


def own_hard_limits():
    """Hard limits of this process by OCI name; unlimited ones are left out."""
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    limits = {name: resource.getrlimit(getattr(resource, name))[1] for name in names}
    return {name: value for name, value in limits.items() if value != resource.RLIM_INFINITY}


def main(path):
    with open(path) as source:
        config = json.load(source)
    with open("/proc/self/oom_score_adj") as source:
        oom_score_adj = int(source.read())
    whole = "process" in config
    process = config["process"] if whole else config
    wanted = limited(process, bounding_set(), oom_score_adj, own_hard_limits())
    if wanted == process:
        return
    mode = os.stat(path).st_mode & 0o777
    temporary = path + ".labctl"
    with open(os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode), "w") as target:
        json.dump({**config, "process": wanted} if whole else wanted, target)
    os.replace(temporary, path)


if __name__ == "__main__":
    main(sys.argv[1])
