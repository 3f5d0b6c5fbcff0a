"""How a result with a report is printed: one document, or the report and lines for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.checks.model import Report
from orchestrator.cli.output import show_verified
from orchestrator.errors import ExitCode
from orchestrator.lab.convergence import ConvergeResult
from orchestrator.lab.state import Lab
from orchestrator.paths import LabDir
from tests.unit.providers.test_container_spec import PLAN

LAB = Lab(LabDir(Path("/home/reader/lab/.labctl/k8s-lab")), PLAN)


def converged(report: Report | None) -> ConvergeResult:
    return ConvergeResult("labctl/scale/v1", LAB, {"m-k8s": 2}, report, 12.34, details={"workers": 1})


def test_a_result_without_a_report_has_the_exit_code_of_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_verified(converged(None), "text", lambda done: [done.lab.plan.name]) == ExitCode.OK
    assert capsys.readouterr().out == "k8s-lab\n"


def test_a_result_whose_report_failed_has_the_exit_code_of_verify(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report("k8s-lab", 0.0, 1.0, ())
    monkeypatch.setattr(Report, "ok", property(lambda self: False))
    assert show_verified(converged(report), "json", lambda done: []) == ExitCode.VERIFY
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["workers"], document["seconds"]) == ("labctl/scale/v1", 1, 12.3)
    assert document["verify"]["lab"] == "k8s-lab"
