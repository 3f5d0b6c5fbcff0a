"""`python -m orchestrator.cli` is `labctl`."""

from orchestrator.cli.main import run

run()
