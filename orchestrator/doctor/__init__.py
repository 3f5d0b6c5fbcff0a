"""Is this host ready for a lab? Checks of the host as data, pure judges, and a runner that asks all at once."""

from .checks import Needs, host_checks
from .finding import Check, Finding, Repair, Result, bad, good, not_applicable
from .run import run_checks

__all__ = [
    "Check",
    "Finding",
    "Needs",
    "Repair",
    "Result",
    "bad",
    "good",
    "host_checks",
    "not_applicable",
    "run_checks",
]
