"""The packages that building on this host needs, installed after the user has agreed."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import host
from orchestrator.errors import HostError
from orchestrator.lab.host_setup import Agree


def install_build_tools(missing: Sequence[str], agree: Agree) -> None:
    """Install the missing packages. Raises HostError with the command when the user does not agree."""
    if not missing:
        return
    command = host.install_command(host.package_manager(), missing)
    if not agree(f"The build needs {', '.join(missing)}. Install with `{command}`?"):
        raise HostError(f"this host lacks {', '.join(missing)}", fix=command)
    host.install_packages(missing)
