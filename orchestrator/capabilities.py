"""The capabilities of Linux by name, and which of them a process can never have."""

from __future__ import annotations

CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
"""Names of Linux capabilities in the order of their numbers (linux/capability.h), without CAP_."""


def absent_capabilities(status: str, last: int) -> tuple[str, ...]:
    """Capabilities up to number `last` that the CapBnd line of a /proc/PID/status text lacks."""
    mask = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:")), 0)
    return tuple(name for bit, name in enumerate(CAPABILITIES.split()) if bit <= last and not mask >> bit & 1)
