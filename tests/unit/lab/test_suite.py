"""The conformance suite on a lab: what its processes report while it runs, and which images nodes lack."""

from __future__ import annotations

import json
import socket
import urllib.request

from orchestrator.events import Event, Step
from orchestrator.lab.suite_images import missing_images
from orchestrator.lab.suite_progress import SuiteProgress, listening


def post(url: str, body: bytes) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=5) as answer:
        return int(answer.status)


def test_each_spec_that_ends_is_counted_and_told() -> None:
    events: list[Event] = []
    with listening(SuiteProgress(events.append, "conformance", 5)) as url:
        for message in ("Test Suite starting", "PASSED a", "FAILED b", "Test Suite completed"):
            post(url, json.dumps({"msg": message, "total": 0}).encode())
    names = [event.name for event in events if isinstance(event, Step)]
    assert names == ["1 of 5 specs, 0 failed; PASSED a", "2 of 5 specs, 1 failed; FAILED b"]


def test_a_connection_on_which_nothing_is_asked_holds_up_nobody() -> None:
    events: list[Event] = []
    with listening(SuiteProgress(events.append, "conformance", 5)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))):
            post(url, b'{"msg": "PASSED a"}')
    assert len(events) == 1


def test_what_is_no_report_is_answered_and_ignored() -> None:
    events: list[Event] = []
    with listening(SuiteProgress(events.append, "conformance", 5)) as url:
        assert [post(url, body) for body in (b"", b"[]", b"{}", b"\xff")] == [204] * 4
    assert events == []


def test_the_rest_is_expected_to_take_as_long_as_what_ended() -> None:
    progress = SuiteProgress(lambda event: None, "conformance", 10, ended=5)
    progress.began -= 50
    assert 50 <= progress.remaining < 55


def test_images_are_known_by_the_names_of_both_runtimes() -> None:
    wanted = ["labctl-e2e/agnhost:2.66.1", "labctl-e2e/nginx:1.28.0-2"]
    assert missing_images(wanted, "docker.io/labctl-e2e/agnhost:2.66.1\nsha256:0\n") == ["labctl-e2e/nginx:1.28.0-2"]
    assert missing_images(wanted, "labctl-e2e/agnhost:2.66.1\nlabctl-e2e/nginx:1.28.0-2\n") == []
