"""Verifies a lab: runs the roles' testinfra checks on every node and the cluster's checks, and reports."""

from __future__ import annotations

from .check_files import check_files, ids_by_file
from .job import ClusterTarget, HostTarget, Target
from .run import run_checks

__all__ = ["ClusterTarget", "HostTarget", "Target", "check_files", "ids_by_file", "run_checks"]
