"""The offline bundle: packages and images of one Kubernetes version; built or imported, verified, served to nodes."""

from orchestrator.bundle.builder import build, build_id, disk_need, preflight
from orchestrator.bundle.importer import import_bundle
from orchestrator.bundle.manifest import BrokenBundleError, BundleInfo, find, list_bundles, load, verify
from orchestrator.bundle.root import required_host_tools
from orchestrator.bundle.server import Served, serve

__all__ = [
    "BrokenBundleError",
    "BundleInfo",
    "Served",
    "build",
    "build_id",
    "disk_need",
    "find",
    "import_bundle",
    "list_bundles",
    "load",
    "preflight",
    "required_host_tools",
    "serve",
    "verify",
]
