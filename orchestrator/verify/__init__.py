"""Proves a lab: runs the roles' testinfra checks on every node and the cluster's checks, and reports."""

from __future__ import annotations

from .job import ClusterTarget, Target
from .render import render_text
from .report import SCHEMA, CheckResult, Report
from .run import run_checks

__all__ = ["SCHEMA", "CheckResult", "ClusterTarget", "Report", "Target", "render_text", "run_checks"]
