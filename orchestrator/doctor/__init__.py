"""The checks of the host itself: whether it has what any lab takes."""

from .checks import Requirements, host_checks, requirements

__all__ = ["Requirements", "host_checks", "requirements"]
