"""The soaks share the lab of the drift suite."""

from __future__ import annotations

from tests.drift.conftest import lab

__all__ = ["lab"]
