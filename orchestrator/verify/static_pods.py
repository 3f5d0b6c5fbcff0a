"""Manifests of static pods, and what of them the pods that the API server shows do not have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(r"(-?[0-9.]+)([a-zA-Z]*)\Z")
_SUFFIXES = {name: Decimal(10) ** (3 * power) for power, name in enumerate(("n", "u", "m", "", *"kMGTPE"), -3)}
_SUFFIXES |= {f"{name}i": Decimal(2) ** (10 * power) for power, name in enumerate("KMGTPE", 1)}


@dataclass(frozen=True)
class Manifest:
    """One file of the kubelet's manifest directory: its pod, or why it holds none."""

    file: str
    pod: Mapping[str, Any]
    problem: str = ""

    @property
    def name(self) -> str:
        """Namespace and name of the pod, as NAMESPACE/NAME."""
        metadata = self.pod.get("metadata") or {}
        return f"{metadata.get('namespace') or 'default'}/{metadata.get('name')}"


def read_manifest(file: str, text: str) -> Manifest:
    """The pod that a file of YAML or JSON describes."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        pod = next(iter(yaml.load_all(text, loader)), None)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return Manifest(file, {}, f"is not YAML (line {mark.line + 1})" if mark else "is not YAML")
    if not isinstance(pod, dict) or pod.get("kind") != "Pod":
        return Manifest(file, {}, "describes no Pod")
    return Manifest(file, pod)


def unusable(manifests: list[Manifest]) -> list[str]:
    """Files without a pod, and files that describe a pod which another one describes too."""
    first: dict[str, str] = {}
    problems = []
    for manifest in manifests:
        if manifest.problem:
            problems.append(f"{manifest.file} {manifest.problem}")
        elif manifest.name in first:
            problems.append(f"{first[manifest.name]} and {manifest.file} both describe {manifest.name}")
        else:
            first[manifest.name] = manifest.file
    return problems


def differences(manifest: Manifest, pod: Mapping[str, Any]) -> list[str]:
    """The fields of a manifest (spec, labels, annotations) whose value the pod does not have, such as `spec.hostPID`.

    The API server adds defaults and writes quantities its own way: what only the pod has is no difference.
    """
    metadata = manifest.pod.get("metadata") or {}
    wanted = {"spec": manifest.pod.get("spec")}
    wanted |= {key: metadata.get(key) for key in ("labels", "annotations")}
    actual = {"spec": pod.get("spec")} | {key: pod["metadata"].get(key) for key in ("labels", "annotations")}
    return list(_different(wanted, actual, ""))


def _different(wanted: Any, actual: Any, path: str) -> Iterator[str]:
    # The API server leaves out what is false or zero, and may fill in a default for what is empty.
    if wanted in (None, {}, [], "") or not (wanted or actual):
        return
    if isinstance(wanted, dict) and isinstance(actual, dict | None):
        for key, value in wanted.items():
            yield from _different(value, (actual or {}).get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(wanted, list) and isinstance(actual, list) and _same_length(path, wanted, actual):
        for index, value in enumerate(wanted):
            yield from _different(value, actual[index], f"{path}[{index}]")
    elif wanted != actual and not ("resources" in path and _quantity(wanted) == _quantity(actual) is not None):
        yield path


def _same_length(path: str, wanted: list[Any], actual: list[Any]) -> bool:
    """Whether a list can be compared item by item; the kubelet adds tolerations of its own."""
    return len(wanted) == len(actual) or (path == "spec.tolerations" and len(wanted) < len(actual))


def _quantity(value: Any) -> Decimal | None:
    """A quantity of Kubernetes (100m, 1.5Gi) as a number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    match = _QUANTITY.match(str(value))
    if not match or match[2] not in _SUFFIXES or match[1].count(".") > 1 or match[1] in ("-", "."):
        return None
    return Decimal(match[1]) * _SUFFIXES[match[2]]
