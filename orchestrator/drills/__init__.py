"""Drills: exercises as data, the progress a student makes, and the verdict on what was repaired."""

from __future__ import annotations

from .catalogue import Catalogue, load_all
from .grading import Finding, judge
from .load import Drill, Question, load
from .report import render_html
from .schema import LANGUAGES, json_schema
from .state import RESULTS_SCHEMA, Attempt, Progress, Record

__all__ = [
    "LANGUAGES",
    "RESULTS_SCHEMA",
    "Attempt",
    "Catalogue",
    "Drill",
    "Finding",
    "Progress",
    "Question",
    "Record",
    "json_schema",
    "judge",
    "load",
    "load_all",
    "render_html",
]
