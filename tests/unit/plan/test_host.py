"""What labctl reads off this host, as parsing of plain texts."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path

import pytest

from orchestrator import host
from orchestrator.capabilities import absent_capabilities
from orchestrator.host import HostNetwork
from orchestrator.model import Inotify


def test_os_release_fields_lose_their_quotes() -> None:
    found = host.parse_os_release('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n# note\nID=debian\nVERSION_ID="12"\n')
    assert found == {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "ID": "debian", "VERSION_ID": "12"}


def test_memory_is_told_in_megabytes() -> None:
    found = host.parse_meminfo("MemTotal:       24683940 kB\nMemAvailable:    2048000 kB\nHugePages_Total:       0\n")
    assert found == {"MemTotal": 24105, "MemAvailable": 2000}


def test_a_capability_missing_from_the_bounding_set_is_named() -> None:
    assert absent_capabilities("Name:\tx\nCapBnd:\t000001fffeffffff\n", last=40) == ("SYS_RESOURCE",)


def test_a_full_bounding_set_lacks_nothing_and_capabilities_the_kernel_does_not_know_are_not_missed() -> None:
    assert absent_capabilities("CapBnd:\t000001ffffffffff\n", last=40) == ()
    assert absent_capabilities("CapBnd:\t0000003fffffffff\n", last=37) == ()


def test_networks_come_from_addresses_and_routes_without_loopback_default_and_host_routes() -> None:
    addresses = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
        {"ifname": "eth0", "addr_info": [{"local": "192.0.2.7", "prefixlen": 24}]},
    ]
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"dst": "10.8.0.0/16", "dev": "tun0"},
        {"dst": "192.0.2.255", "dev": "eth0", "type": "broadcast"},
    ]
    found = host.parse_networks(json.dumps(addresses), json.dumps(routes))
    assert found == (HostNetwork("eth0", "192.0.2.0/24"), HostNetwork("tun0", "10.8.0.0/16"))


def test_no_output_of_ip_means_no_networks() -> None:
    assert host.parse_networks("", "") == ()


@pytest.mark.parametrize(
    ("manager", "start"),
    [("apt", "apt-get install -y"), ("dnf", "dnf install -y"), ("pacman", "pacman -S --noconfirm")],
)
def test_the_install_command_is_the_package_managers_own(manager: host.PackageManager, start: str) -> None:
    command = host.install_command(manager, ["one", "two"]).removeprefix("sudo ")
    assert command.startswith(start)
    assert command.endswith("one two")


def test_without_a_known_package_manager_the_packages_are_named() -> None:
    assert host.install_command("none", ["one", "two"]) == "install one, two with your system's package manager"


def test_free_space_is_told_for_a_directory_that_does_not_exist_yet(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert host.disk_free(tmp_path / "a" / "b") > 0


def test_inotify_is_counted_that_a_process_of_root_opens(tmp_path: Path) -> None:
    (tmp_path / "1").symlink_to("/proc/self")
    before, libc = host.inotify_in_use(tmp_path), ctypes.CDLL(None)
    instance = libc.inotify_init1(0)
    assert instance >= 0, "no inotify instance is left on this host"
    try:
        assert libc.inotify_add_watch(instance, b"/proc", 2) >= 0
        after = host.inotify_in_use(tmp_path)
    finally:
        os.close(instance)
    charged = int(os.geteuid() == 0)
    assert after == Inotify(before.instances + charged, before.watches + charged)
