"""Proves a lab: runs the roles' testinfra checks on every node and the cluster's checks, and reports."""

from __future__ import annotations

from .changes import changes
from .html import render_html
from .index import ids_by_file
from .job import ClusterTarget, Target
from .junit import render_junit
from .render import render_text
from .report import SCHEMA, CheckResult, Report
from .run import run_checks

__all__ = [
    "SCHEMA",
    "CheckResult",
    "ClusterTarget",
    "Report",
    "Target",
    "changes",
    "ids_by_file",
    "render_html",
    "render_junit",
    "render_text",
    "run_checks",
]
