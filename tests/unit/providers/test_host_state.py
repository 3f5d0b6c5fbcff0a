"""What a Docker engine left in the firewall is undone, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

from orchestrator.providers.without_systemd import host_state
from orchestrator.providers.without_systemd.host_state import HostBefore

FOREIGN = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:MINE - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "my own rule" -j ACCEPT
COMMIT
"""

WITH_DOCKER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:MINE - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "my own rule" -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o lc-0123456789 -j DOCKER
-A FORWARD -i lc-0123456789 ! -o lc-0123456789 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 192.168.56.0/24 ! -o lc-0123456789 -j MASQUERADE
COMMIT
"""


def test_dockers_chains_jumps_and_policy_are_undone() -> None:
    commands = [" ".join(words) for words in host_state.undo(FOREIGN, WITH_DOCKER)]
    assert commands == [
        "-t filter -D FORWARD -j DOCKER-USER",
        "-t filter -D FORWARD -o lc-0123456789 -j DOCKER",
        "-t filter -D FORWARD -i lc-0123456789 ! -o lc-0123456789 -j ACCEPT",
        "-t filter -F DOCKER",
        "-t filter -F DOCKER-USER",
        "-t filter -X DOCKER",
        "-t filter -X DOCKER-USER",
        "-t filter -P FORWARD ACCEPT",
        "-t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "-t nat -D POSTROUTING -s 192.168.56.0/24 ! -o lc-0123456789 -j MASQUERADE",
        "-t nat -F DOCKER",
        "-t nat -X DOCKER",
    ]


def test_a_rule_the_user_added_since_stays() -> None:
    assert not any("80" in words for words in host_state.undo(FOREIGN, WITH_DOCKER))


def test_chains_of_a_docker_that_was_there_before_stay() -> None:
    before = WITH_DOCKER.replace("-A FORWARD -o lc-0123456789 -j DOCKER\n", "")
    assert host_state.undo(before, WITH_DOCKER) == [
        ["-t", "filter", "-D", "FORWARD", "-o", "lc-0123456789", "-j", "DOCKER"]
    ]


def test_a_policy_that_dropped_before_goes_on_dropping() -> None:
    before = FOREIGN.replace(":FORWARD ACCEPT", ":FORWARD DROP")
    assert ["-t", "filter", "-P", "FORWARD", "ACCEPT"] not in host_state.undo(before, WITH_DOCKER)


def test_a_host_without_any_rules_gets_its_forward_policy_back() -> None:
    assert ["-t", "filter", "-P", "FORWARD", "ACCEPT"] in host_state.undo("", WITH_DOCKER)


def test_a_table_is_blank_when_only_accepting_base_chains_are_left() -> None:
    tables = host_state.parse_rules("*nat\n:OUTPUT ACCEPT [1:2]\nCOMMIT\n" + FOREIGN)
    assert tables["nat"].blank
    assert not tables["filter"].blank


def test_mounts_below_a_directory_are_found_deepest_first() -> None:
    mountinfo = (
        "20 1 8:1 / / rw - ext4 /dev/sda rw\n"
        "21 20 0:1 / /run/labctl/engine/exec/netns/1 rw - nsfs nsfs rw\n"
        "22 20 0:2 / /cache/engine rw - ext4 /dev/sda rw\n"
        "23 20 0:3 / /cache/engine/over\\040lay/merged rw - overlay overlay rw\n"
        "24 20 0:4 / /cache/engineer rw - tmpfs tmpfs rw\n"
    )
    found = host_state.mounts_below(mountinfo, (Path("/run/labctl/engine"), Path("/cache/engine")))
    assert found[-1] == "/cache/engine"
    assert set(found) == {"/run/labctl/engine/exec/netns/1", "/cache/engine", "/cache/engine/over lay/merged"}


def test_the_note_of_the_host_survives_being_written_down() -> None:
    before = HostBefore({"net/ipv4/ip_forward": "0"}, {"iptables": FOREIGN}, ("/etc/docker",))
    assert HostBefore.from_dict(before.as_dict()) == before


WITH_LIBVIRT = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:LIBVIRT_FWO - [0:0]
:LIBVIRT_INP - [0:0]
:MINE - [0:0]
-A INPUT -j LIBVIRT_INP
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "my own rule" -j ACCEPT
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 53 -j ACCEPT
COMMIT
"""


def test_libvirts_chains_and_jumps_are_undone_and_the_users_rules_stay() -> None:
    commands = [" ".join(words) for words in host_state.undo(FOREIGN, WITH_LIBVIRT, host_state.LIBVIRT)]
    assert commands == [
        "-t filter -D INPUT -j LIBVIRT_INP",
        "-t filter -D FORWARD -j LIBVIRT_FWO",
        "-t filter -F LIBVIRT_FWO",
        "-t filter -F LIBVIRT_INP",
        "-t filter -X LIBVIRT_FWO",
        "-t filter -X LIBVIRT_INP",
    ]


def test_chains_of_a_libvirt_that_was_there_before_stay() -> None:
    assert host_state.undo(WITH_LIBVIRT, WITH_LIBVIRT, host_state.LIBVIRT) == []


def test_an_engine_leaves_libvirts_chains_alone() -> None:
    assert host_state.undo(FOREIGN, WITH_LIBVIRT) == []


WITH_BOTH = WITH_LIBVIRT.replace(
    ":MINE - [0:0]\n",
    ":MINE - [0:0]\n:DOCKER - [0:0]\n-A FORWARD -o lc-2b22f07148 -j DOCKER\n"
    "-A FORWARD -i lc-2b22f07148 -o lc-2b22f07148 -j ACCEPT\n",
)


def test_cleaning_up_after_libvirt_leaves_the_rules_of_a_running_engines_bridges() -> None:
    commands = [" ".join(words) for words in host_state.undo(FOREIGN, WITH_BOTH, host_state.LIBVIRT)]
    assert not [command for command in commands if "lc-" in command or "DOCKER" in command]
    assert "-t filter -D FORWARD -j LIBVIRT_FWO" in commands
