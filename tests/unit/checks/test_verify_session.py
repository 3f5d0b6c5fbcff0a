"""The session of verify: framing, time limits, losses; against a local shell in place of a node's."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.verify.session import (
    CommandTimeoutError,
    ReconnectingSession,
    Session,
    SessionLostError,
    UnreachableError,
)

SHELL = ("sh",)


@pytest.fixture
def session() -> Iterator[Session]:
    opened = Session(SHELL)
    yield opened
    opened.close()


def test_keeps_output_error_output_and_exit_code_apart(session: Session) -> None:
    answer = session.run("echo out; echo err >&2; exit 7", limit=5)
    assert (answer.code, answer.stdout, answer.stderr) == (7, b"out\n", b"err\n")


def test_keeps_output_without_a_last_newline_as_it_is(session: Session) -> None:
    assert session.run("printf abc", limit=5).stdout == b"abc"
    assert session.run("true", limit=5).stdout == b""


def test_passes_every_byte_on_both_streams(session: Session, tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    (tmp_path / "data").write_bytes(data)
    answer = session.run(f"cat {tmp_path}/data; cat {tmp_path}/data >&2", limit=20)
    assert answer.stdout == data
    assert answer.stderr == data


def test_takes_a_command_longer_than_a_pipe_holds(session: Session) -> None:
    assert session.run(f"echo {'x' * 300_000} | wc -c", limit=20).stdout.strip() == b"300001"


def test_a_command_cannot_change_the_shell_of_the_next_one(session: Session) -> None:
    session.run("cd /; export LEFT=behind; set -e; exec true", limit=5)
    assert session.run("echo ${LEFT:-clean}; pwd", limit=5).stdout.decode().split("\n")[0] == "clean"


def test_a_command_cannot_read_what_comes_after_it(session: Session) -> None:
    assert session.run("cat; echo end", limit=5).stdout == b"end\n"
    assert session.run("echo next", limit=5).stdout == b"next\n"


def test_a_syntax_error_is_the_commands_own(session: Session) -> None:
    assert session.run("if then", limit=5).code != 0
    assert session.run("echo fine", limit=5).stdout == b"fine\n"


def test_a_hanging_command_ends_at_its_limit() -> None:
    session = ReconnectingSession(SHELL)
    started = time.monotonic()
    with pytest.raises(CommandTimeoutError, match=r"`sleep 60`: no answer within"):
        session.run("sleep 60", limit=0.3)
    assert time.monotonic() - started < 5
    assert session.run("echo back", limit=5).stdout == b"back\n"
    session.close()


def test_a_hanging_command_is_ended_on_the_node_by_the_next_session(tmp_path: Path) -> None:
    # The shell of the first session leaves the group of its ssh behind, as a node's shell does.
    session = ReconnectingSession(("sh", "-c", "exec setsid -w sh"))
    with pytest.raises(CommandTimeoutError):
        session.run(f"echo $$ >{tmp_path}/pid; exec sleep 60", limit=0.3)
    assert session.run("true", limit=5).code == 0
    group = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while time.monotonic() < until and Path(f"/proc/{group}").exists():
        if " Z " in Path(f"/proc/{group}/stat").read_text():
            break
    else:
        assert not Path(f"/proc/{group}").exists()
    session.close()


def test_a_node_that_loses_every_command_is_given_up() -> None:
    session = ReconnectingSession(SHELL)
    for _ in range(3):
        with pytest.raises(CommandTimeoutError):
            session.run("sleep 60", limit=0.1)
    with pytest.raises(SessionLostError, match="lost 3 times"):
        session.run("echo too late")


def test_a_session_that_breaks_says_what_was_running() -> None:
    session = ReconnectingSession(SHELL)
    with pytest.raises(SessionLostError, match=r"kill -9 "):
        session.run("kill -9 $$", limit=5)
    session.close()


def test_a_program_that_is_missing_is_unreachable_in_words() -> None:
    with pytest.raises(UnreachableError, match="no-such-ssh cannot be started"):
        Session(("no-such-ssh",))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("vagrant@127.0.0.1: Permission denied (publickey).", "refuses the lab's SSH key"),
        ("ssh: connect to host 127.0.0.1 port 60010: Connection refused", "its SSH server is down"),
        ("Host key verification failed.", "not the one in the lab's known_hosts"),
        ("sudo: a password is required", "sudo asks for a password"),
    ],
)
def test_says_why_no_shell_was_opened(said: str, words: str) -> None:
    with pytest.raises(UnreachableError, match=words):
        Session(("sh", "-c", f"echo '{said}' >&2; exit 255"))


def test_a_node_that_never_answers_is_unreachable_at_the_limit() -> None:
    with pytest.raises(UnreachableError, match="no shell answered"):
        Session(("sleep", "60"), limit=0.3)


def test_nothing_runs_past_the_deadline() -> None:
    session = ReconnectingSession(SHELL, deadline=time.monotonic() + 0.5)
    session.open()
    started = time.monotonic()
    with pytest.raises(CommandTimeoutError):
        session.run("sleep 60", limit=50)
    assert time.monotonic() - started < 5
    session.close()
