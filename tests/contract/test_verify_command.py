"""What `labctl verify` refuses before it looks for a lab, and what --watch says between two looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.checks.model import Report, Result
from orchestrator.cli import verify as command
from orchestrator.verbs import verify as verb
from tests.contract.test_cli import labctl


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--report", "html=/no/such/place/x.html"], "/no/such/place"),
        (["--report", "html=."], "cannot be written"),
        (["--report", "pdf=x.pdf"], "pdf=x.pdf"),
        (["--report", "html="], "html="),
        (["--watch", "--output", "json"], "--watch"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(tmp_path: Path, options: list[str], said: str) -> None:
    done = labctl("verify", *options, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "cache"])


def report(**statuses: str) -> Report:
    results = (Result(f"system.{name}", "system", "w1-k8s", status) for name, status in statuses.items())  # type: ignore[arg-type]
    return Report("lab", 0.0, 1.0, tuple(results))


def test_watch_tells_each_change_once_and_writes_the_report_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "lab.html"
    looks = [report(a="ok", b="ok"), report(a="failed", b="ok"), report(a="failed", b="ok"), report(a="ok", b="ok")]
    pages: list[bool] = []

    def verify(*_: object, **__: object) -> Report:
        if page.exists():
            pages.append(": not healthy" in page.read_text())
        if not looks:
            raise KeyboardInterrupt
        return looks.pop(0)

    monkeypatch.setattr(command, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(verb, "verify", verify)
    monkeypatch.setattr("orchestrator.lab.state.open_lab", lambda file: None)
    done = CliRunner().invoke(command.verify, ["--watch", "--report", f"html={page}", "--progress", "none"])
    changes = [line.partition(" ")[2] for line in done.stdout.splitlines() if "w1-k8s:" in line and "(was" in line]
    assert changes == ["w1-k8s: : failed (was ok)", "w1-k8s: : ok (was failed)"]
    assert pages == [False, True, True, False]
