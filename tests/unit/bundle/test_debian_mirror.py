"""The Debian mirror is found in the host's own apt sources, in both of their styles."""

from __future__ import annotations

from pathlib import Path

from orchestrator import debian_mirror
from orchestrator.debian_mirror import DEFAULT_KEYRING, MirrorConfig, SourceEntry

DEB822 = """\
Types: deb deb-src
# a remark
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/tool.gpg] https://tools.example/apt stable-tools main
deb [trusted=yes] http://mirror.example/debian bookworm main contrib # remark
deb http://mirror.example/debian-security bookworm-security main
deb-src http://mirror.example/debian bookworm main
"""


def test_deb822_stanzas_are_read_and_disabled_ones_left_out() -> None:
    entries = debian_mirror.parse_deb822(DEB822)
    assert [entry.uri for entry in entries] == ["http://mirror.example/debian", "http://mirror.example/debian-security"]
    assert entries[0].suites == ("bookworm", "bookworm-updates")
    assert entries[0].signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_an_embedded_key_is_not_taken_for_a_path() -> None:
    text = "Types: deb\nURIs: http://m.example\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN PGP\n .\n abc\n"
    assert debian_mirror.parse_deb822(text)[0].signed_by == ""


def test_one_line_entries_are_read_with_their_options() -> None:
    entries = debian_mirror.parse_list(ONE_LINE)
    assert [entry.uri for entry in entries] == [
        "https://tools.example/apt",
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    ]
    assert entries[0].signed_by == "/etc/apt/keyrings/tool.gpg"
    assert entries[1].trusted


def test_the_archive_and_its_security_suite_are_chosen_and_third_parties_are_not() -> None:
    found = debian_mirror.choose(debian_mirror.parse_list(ONE_LINE))
    assert found == MirrorConfig(
        "http://mirror.example/debian", "http://mirror.example/debian-security", None, trusted=True
    )


def test_an_archive_without_a_keyring_of_its_own_is_checked_with_debians() -> None:
    found = debian_mirror.choose([SourceEntry("http://mirror.example/debian", ("trixie",), ("main",))])
    assert found == MirrorConfig("http://mirror.example/debian", None, DEFAULT_KEYRING)


def test_another_distributions_sources_name_no_debian_mirror() -> None:
    assert (
        debian_mirror.choose([SourceEntry("http://archive.example/ubuntu", ("noble", "noble-updates"), ("main",))])
        is None
    )


def test_a_mirror_list_file_is_followed() -> None:
    entry = SourceEntry("mirror+file:/etc/apt/mirrors/debian.list", ("bookworm",), ("main",))
    lists = {"/etc/apt/mirrors/debian.list": "# mirrors\nhttps://first.example/debian\nhttps://second.example/debian\n"}
    found = debian_mirror.choose([entry], read_mirror_list=lists.__getitem__)
    assert found is not None
    assert found.url == "https://first.example/debian"


def test_the_setting_goes_before_the_hosts_sources(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d").mkdir()
    found = debian_mirror.find({debian_mirror.SETTING: "http://own.example/debian/ http://own.example/sec"}, tmp_path)
    assert found is not None
    assert (found.url, found.security_url) == ("http://own.example/debian", "http://own.example/sec")


def test_the_hosts_sources_are_read_from_all_their_files(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "old.list.save").write_text("deb http://stale.example/debian bookworm main\n")
    found = debian_mirror.find({}, tmp_path)
    assert found is not None
    assert found.url == "http://mirror.example/debian"


def test_no_apt_at_all_means_no_mirror(tmp_path: Path) -> None:
    assert debian_mirror.find({}, tmp_path / "nothing") is None


def test_the_sources_text_names_suite_updates_and_security() -> None:
    mirror = MirrorConfig("http://m.example/debian", "http://m.example/security", Path("/k.gpg"))
    assert mirror.sources("bookworm") == (
        "deb [signed-by=/k.gpg] http://m.example/debian bookworm main\n"
        "deb [signed-by=/k.gpg] http://m.example/debian bookworm-updates main\n"
        "deb [signed-by=/k.gpg] http://m.example/security bookworm-security main\n"
    )
    assert mirror.sources("bookworm", source_packages=True).count("deb-src ") == 3
