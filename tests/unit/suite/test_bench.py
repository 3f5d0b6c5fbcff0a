"""The yardstick of the benchmarks leaves nothing running."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.providers.test_container_spec import PLAN


class HeldEngine:
    """A provider that notes who holds the engine."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        log.append("open")

    def prepare(self, *_: Any) -> None:
        pass

    def destroy(self, *_: Any) -> None:
        self.log.append("destroy")

    def close(self, *_: Any) -> None:
        self.log.append("close")


@pytest.mark.parametrize("fails", [False, True], ids=["built", "failed"])
def test_by_hand_closes_the_only_provider_it_opened(monkeypatch: pytest.MonkeyPatch, *, fails: bool) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[3] / "bench"))
    by_hand = import_module("by_hand")
    log: list[str] = []

    def build(*_: Any, **__: Any) -> dict[str, float]:
        log.append("build")
        if fails:
            raise SystemExit("no cluster")
        return {}

    monkeypatch.setattr(sys, "argv", ["by_hand.py"])
    monkeypatch.setattr(by_hand.registry, "provider", lambda _: HeldEngine(log))
    monkeypatch.setattr(by_hand.planning, "decide", lambda _: PLAN)
    monkeypatch.setattr(by_hand, "save_plan", lambda *_: None)
    monkeypatch.setattr(by_hand.bundle, "find", lambda *_: SimpleNamespace())
    monkeypatch.setattr(by_hand, "Bench", lambda *_: SimpleNamespace(build=build))
    if fails:
        with pytest.raises(SystemExit):
            by_hand.main()
    else:
        by_hand.main()
    assert log == ["open", "build", "destroy", "close"]
