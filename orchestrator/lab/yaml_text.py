"""Reads and writes YAML that people edit too: comments, quotes and the order of keys stay."""

from __future__ import annotations

import io
from typing import Any


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    # Every value stays on its line, as kubectl writes keys.
    yaml.width = 1 << 20
    return yaml


def load_yaml(text: str) -> Any:
    """The document in a text. Raises YAMLError."""
    return _yaml().load(text)


def dump_yaml(document: Any) -> str:
    """The text of a document, in block style, keys in their order."""
    out = io.StringIO()
    _yaml().dump(document, out)
    return out.getvalue()
