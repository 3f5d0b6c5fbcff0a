"""VBoxManage with QEMU where VirtualBox has its kernel driver: everything is the real one's but machines that run.

`startvm` boots the machine's own disk under QEMU with the hardware that `showvminfo` reports: processors, memory, AHCI,
the network cards at VirtualBox' addresses on the bus, NAT with its forwards (10.0.2.15 on every machine, as there), the
host-only network. What depends on a running machine answers from QEMU; all other commands pass to the real program.

What guests write goes to an overlay for each of VirtualBox' disk images, stacked as VirtualBox stacks them: linked
clones and snapshots hold what their images would.

Runs in the userland's namespaces with this host's files: see userland.py. Nobody imports it; tests, labctl and Vagrant
find it as `VBoxManage` on their PATH.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT, STATE = os.environ["USERLAND_ROOT"], Path(os.environ["USERLAND_MACHINES"])
PROGRAM = "/usr/lib/virtualbox/VBoxManage"
# The plainest 64 bit processor, and what QEMU emulates by one helper each: fast where all is software.
CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq"
# Where VirtualBox has its network cards on the bus.
SLOTS = {1: "0x3", 2: "0x8"}
CARDS = {"82540EM": "e1000"}
END_SECONDS = 20.0


def real(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run the real VBoxManage."""
    return subprocess.run(["chroot", ROOT, PROGRAM, *argv], capture_output=True, text=True, check=False)


def show(done: subprocess.CompletedProcess[str]) -> int:
    """Print what the real one printed; its exit code."""
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


def refuse(why: str) -> int:
    """Say no as VBoxManage does."""
    print(f"VBoxManage: error: {why}", file=sys.stderr)
    return 1


def facts_of(machine: str) -> dict[str, str]:
    """What showvminfo says of a machine; empty for one that does not exist."""
    pairs = (line.partition("=") for line in real("showvminfo", machine, "--machinereadable").stdout.splitlines())
    return {name.strip('"'): value.strip('"') for name, _, value in pairs}


def runs(uuid: str) -> bool:
    """Whether QEMU has this machine."""
    try:
        os.kill(int((STATE / f"{uuid}.pid").read_text(encoding="ascii")), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return True


def ask(uuid: str, command: str) -> None:
    """Tell QEMU something, by its machine protocol."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(END_SECONDS)
        connection.connect(str(STATE / f"{uuid}.qmp"))
        answers = connection.makefile()
        for word in ("qmp_capabilities", command):
            connection.sendall(json.dumps({"execute": word}).encode())
            while "return" not in json.loads(answers.readline() or '{"return": 0}'):
                pass


def image_of(facts: dict[str, str]) -> str:
    """The id of the disk image that a machine writes to; empty for a machine without a disk."""
    return facts.get("SATA Controller-ImageUUID-0-0", "")


def overlay(image: str) -> Path:
    """What guests wrote to an image, over what they wrote to its parents; made where nothing has been written."""
    if (merged := STATE / f"{image}.merged").exists():
        return merged.resolve()
    file = STATE / f"{image}.qcow2"
    if not file.exists():
        medium = dict(line.split(":", 1) for line in real("showmediuminfo", image).stdout.splitlines() if ":" in line)
        parent = medium["Parent UUID"].strip()
        if parent == "base":
            backing, form = f"{ROOT}{medium['Location'].strip()}", medium["Storage format"].strip().lower()
        else:
            backing, form = str(overlay(parent)), "qcow2"
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", backing, str(file)]
        subprocess.run(argv, check=True)
    return file


def network(facts: dict[str, str], uuid: str) -> Iterator[str]:
    """The options for a machine's network cards."""
    for number, slot in SLOTS.items():
        if (kind := facts.get(f"nic{number}", "none")) == "none":
            continue
        if kind == "nat":
            rules = (value.split(",") for name, value in facts.items() if name.startswith("Forwarding("))
            forwards = "".join(f",hostfwd={proto}:{at}:{port}-:{guest}" for _, proto, at, port, _, guest in rules)
            yield from ("-netdev", f"user,id=nic{number},net=10.0.2.0/24{forwards}")
        elif kind == "hostonly":
            tap = f"vm{uuid[:8]}"
            if subprocess.run(["ip", "link", "show", tap], capture_output=True).returncode:
                subprocess.run(["ip", "tuntap", "add", "dev", tap, "mode", "tap"], check=True)
            subprocess.run(["ip", "link", "set", tap, "master", facts[f"hostonlyadapter{number}"], "up"], check=True)
            yield from ("-netdev", f"tap,id=nic{number},ifname={tap},script=no,downscript=no")
        else:
            raise SystemExit(refuse(f"no stand-in for a network of the kind {kind}"))
        address = ":".join(re.findall("..", facts[f"macaddress{number}"]))
        card = CARDS[facts[f"nictype{number}"]]
        yield from ("-device", f"{card},netdev=nic{number},mac={address},bus=pcie.0,addr={slot}")


def startvm(machine: str, *_: str) -> int:
    """Boot a machine."""
    facts = facts_of(machine)
    if not facts:
        return show(real("showvminfo", machine))
    uuid = facts["UUID"]
    if runs(uuid):
        return refuse(f"The machine '{facts['name']}' is already locked by a session (or being locked or unlocked)")
    argv = ["qemu-system-x86_64", "-name", uuid, "-machine", "q35,accel=tcg,usb=off", "-cpu", CPU, "-nodefaults"]
    argv += ["-smp", facts["cpus"], "-m", facts["memory"], "-rtc", "base=utc", "-display", "none"]
    argv += ["-device", "VGA,addr=0x2", "-device", "virtio-rng-pci,addr=0x10", *network(facts, uuid)]
    if image := image_of(facts):
        # The bus is the chipset's own AHCI controller.
        argv += ["-drive", f"if=none,id=disk,cache=unsafe,file={overlay(image)}"]
        argv += ["-device", "ide-hd,drive=disk,bus=ide.0"]
    argv += ["-serial", f"file:{STATE / uuid}.console", "-qmp", f"unix:{STATE / uuid}.qmp,server=on,wait=off"]
    done = subprocess.run([*argv, "-pidfile", f"{STATE / uuid}.pid", "-daemonize"], capture_output=True, text=True)
    if done.returncode:
        return refuse(f"QEMU: {done.stderr.strip()}")
    print(f'VM "{facts["name"]}" has been successfully started.')
    return 0


def controlvm(machine: str, word: str, *_: str) -> int:
    """Press the power button, or cut the power."""
    facts = facts_of(machine)
    if not facts or not runs(facts["UUID"]):
        return show(real("controlvm", machine, word))
    if word not in ("acpipowerbutton", "poweroff"):
        return refuse(f"no stand-in for controlvm {word}")
    ask(facts["UUID"], "system_powerdown" if word == "acpipowerbutton" else "quit")
    deadline = time.monotonic() + END_SECONDS
    while word == "poweroff" and runs(facts["UUID"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return 0


def showvminfo(machine: str, *words: str) -> int:
    """Say what the real one says, and that a running machine runs."""
    done = real("showvminfo", machine, *words)
    uuid = re.search(r'^(?:UUID="|UUID:\s+)([0-9a-f-]{36})', done.stdout, re.MULTILINE)
    if uuid and runs(uuid[1]):
        done.stdout = re.sub(r'^VMState=".*"$', 'VMState="running"', done.stdout, flags=re.MULTILINE)
        done.stdout = re.sub(r"^State: .*$", "State:  running", done.stdout, flags=re.MULTILINE)
    return show(done)


def list_(what: str, *words: str) -> int:
    """List machines that run, or what the real one lists."""
    done = real("list", "vms" if what == "runningvms" else what, *words)
    if what == "runningvms":
        lines = done.stdout.splitlines(keepends=True)
        done.stdout = "".join(line for line in lines if runs(line.rpartition("{")[2].rstrip("}\n")))
    return show(done)


def change(verb: str, machine: str, *words: str) -> int:
    """Change a machine that does not run: VirtualBox refuses it for one that does, and so is this."""
    facts = facts_of(machine)
    if facts and runs(facts["UUID"]):
        return refuse(f"The machine '{facts['name']}' is already locked for a session (or being unlocked)")
    return show(real(verb, machine, *words))


def snapshot(machine: str, word: str, *words: str) -> int:
    """Keep, restore or delete a snapshot; deleting is possible while the machine runs."""
    if word in ("take", "restore", "restorecurrent"):
        return change("snapshot", machine, word, *words)
    image = image_of(facts_of(machine))
    written = overlay(image) if image and word == "delete" else None
    status = show(real("snapshot", machine, word, *words))
    if written and status == 0 and (kept := image_of(facts_of(machine))) != image:
        # VirtualBox merged the image that the machine writes to into its parent.
        merged = STATE / f"{kept}.merged"
        merged.unlink(missing_ok=True)
        merged.symlink_to(written)
    return status


def main(verb: str = "", *words: str) -> int:
    """Run one command of VBoxManage."""
    if "WITHOUT_DRIVER" in os.environ:
        return show(real(verb, *words))
    if verb in ("modifyvm", "unregistervm") and words:
        return change(verb, *words)
    commands = {
        "startvm": startvm,
        "controlvm": controlvm,
        "showvminfo": showvminfo,
        "list": list_,
        "snapshot": snapshot,
    }
    if verb in commands and words:
        return commands[verb](*words)
    return show(real(verb, *words))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
