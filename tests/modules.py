"""Python files outside of every package as modules: plugins of Ansible, test files of roles."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def load_module(file: Path) -> Any:
    """A fresh module made of a file."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
