"""The offline bundle: packages and images of one Kubernetes version; built or imported, verified, served to nodes."""

from orchestrator.bundle.builder import build, preflight
from orchestrator.bundle.compilers import seconds, unreachable
from orchestrator.bundle.importer import import_bundle
from orchestrator.bundle.manifest import BrokenBundleError, BundleInfo, find, list_bundles, load, verify
from orchestrator.bundle.pin import Pinned, add_to_catalog, pin
from orchestrator.bundle.recipe import Recipe, available
from orchestrator.bundle.root import required_host_tools
from orchestrator.bundle.server import Served, serve

__all__ = [
    "BrokenBundleError",
    "BundleInfo",
    "Pinned",
    "Recipe",
    "Served",
    "add_to_catalog",
    "available",
    "build",
    "find",
    "import_bundle",
    "list_bundles",
    "load",
    "pin",
    "preflight",
    "required_host_tools",
    "seconds",
    "serve",
    "unreachable",
    "verify",
]
