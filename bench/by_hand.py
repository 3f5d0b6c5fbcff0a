"""The lab as a practised person scripts it: the yardstick for `bench/run.py provision`.

Same machines, bundle, packages, images, cluster, pod network, policies and DNS as `labctl provision`; no Ansible, no
checks beyond "all nodes Ready, the DNS and the policies rolled out", every step on all nodes at once. At the end an
application of three replicas is rolled out.

`--from-image` does what kind does: the machines are clones of one that has everything, made before the clock starts.
`--one-by-one` does the nodes one after the other, as the course book's scripts do.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from orchestrator import bundle, inventory, paths, spec  # noqa: E402
from orchestrator.bundle.manifest import ALL_IMAGES, WORKER_IMAGES  # noqa: E402
from orchestrator.events import discard  # noqa: E402
from orchestrator.lab import planning  # noqa: E402
from orchestrator.lab.state import Lab, save_plan  # noqa: E402
from orchestrator.model import Node, NodePlan, Plan, SourceAccess  # noqa: E402
from orchestrator.paths import LabDir  # noqa: E402
from orchestrator.providers import registry, ssh_access  # noqa: E402
from orchestrator.providers.base import Provider  # noqa: E402

PORT = 60080
IMAGE = "bench"
# What the roles install on every node, in one transaction.
PACKAGES = (
    "vim git curl jq less tcpdump bash-completion bind9-dnsutils iputils-ping ca-certificates containerd.io apparmor "
    "iptables conntrack ebtables ethtool socat kubelet kubeadm kubectl kubernetes-cni cri-tools"
)

INSTALL = """set -e
cat >/usr/share/keyrings/lab.asc <<'KEY'
{key}
KEY
echo 'deb [signed-by=/usr/share/keyrings/lab.asc] {url}/apt ./' >/etc/apt/sources.list.d/lab.list
mkdir -p /etc/containerd
cat >/etc/containerd/config.toml <<'T'
{containerd}
T
printf 'net.ipv4.ip_forward=1\\nnet.bridge.bridge-nf-call-iptables=1\\n' >/etc/sysctl.d/90-lab.conf
sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.ipv4.ip_forward=1 || true
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold install --no-install-recommends {packages} \
    >/dev/null
apt-mark hold kubelet kubeadm kubectl >/dev/null
systemctl enable -q --now containerd kubelet
curl -sS {url}/{images} >/tmp/images.tar
ctr -n k8s.io images import /tmp/images.tar >/dev/null
rm /tmp/images.tar
"""
FORGET = """
systemctl stop kubelet containerd
: >/etc/machine-id; : >/etc/hosts; : >/etc/resolv.conf; rm -f /etc/.labctl-first-start /etc/ssh/ssh_host_*
"""
NAMES = """set -e
printf '{hosts}' >>/etc/hosts
mkdir -p /etc/kubernetes/labctl
printf '{resolvers}' >/etc/kubernetes/labctl/resolv.conf
"""
INIT = """
cat >/root/init.yml <<'Y'
{kubeadm}
Y
kubeadm init --config /root/init.yml --ignore-preflight-errors=all >/root/init.log 2>&1 ||
    {{ tail -n 20 /root/init.log >&2; false; }}
export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl apply -f - >/dev/null <<'M'
{policies}
M
kubeadm token create --print-join-command
"""
JOIN = """
echo KUBELET_EXTRA_ARGS=--node-ip={address} >/etc/default/kubelet
{join} --ignore-preflight-errors=all >/root/join.log 2>&1 || {{ tail -n 20 /root/join.log >&2; false; }}
"""
NETWORK = """set -e
mkdir -p /etc/cni/net.d
cat >/etc/cni/net.d/10-lab.conflist <<'C'
{{"cniVersion":"0.4.0","name":"lab","plugins":[{{"type":"bridge","bridge":"cni0","isGateway":true,"isDefaultGateway":true,
"hairpinMode":true,"ipMasq":true,"ipam":{{"type":"host-local","ranges":[[{{"subnet":"{cidr}"}}]]}}}},
{{"type":"portmap","capabilities":{{"portMappings":true}}}}]}}
C
{routes}
iptables -P FORWARD ACCEPT
"""
WAIT = """set -e
export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl wait --for=condition=Ready nodes --all --timeout=180s >/dev/null
kubectl -n kube-system rollout status deployment/coredns --timeout=180s >/dev/null &
kubectl -n kube-system rollout status daemonset/kube-router --timeout=180s >/dev/null
wait
"""
APP = """set -e
export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl create deployment app --image={image} --replicas=3 >/dev/null
kubectl rollout status deployment/app --timeout=180s >/dev/null
"""
# A node gets its part of the pod network a moment after it registered.
CIDRS = """set -e
until [ "$(kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes \\
    -o 'jsonpath={{range .items[*]}}{{.metadata.name}} {{.spec.podCIDR}}{{"\\n"}}{{end}}' |
    tee /tmp/cidrs | grep -c /)" = {nodes} ]
do sleep 0.2; done
cat /tmp/cidrs
"""


class Hands:
    """Somebody with a shell on every node."""

    def __init__(self, directory: LabDir, nodes: Mapping[str, Node], together: bool) -> None:
        self.directory, self.nodes, self.together = directory, nodes, together

    def on(self, name: str, script: str) -> str:
        """Run a script as root on a node; return what it printed."""
        argv = ssh_access.ssh_argv(self.directory, self.nodes[name], command=("sudo", "bash", "-s"))
        done = subprocess.run(argv, input=script, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{name}: {done.stderr[-1500:]}")
        return done.stdout

    def on_all(self, scripts: Mapping[str, str]) -> None:
        """Run each node's script, all at once or one after the other."""
        with concurrent.futures.ThreadPoolExecutor(len(scripts) if self.together else 1) as pool:
            list(pool.map(lambda item: self.on(*item), scripts.items()))


class Bench:
    """One lab made by hand."""

    def __init__(self, provider: Provider, plan: Plan, found: bundle.BundleInfo) -> None:
        self.provider, self.plan, self.bundle = provider, plan, found
        assert plan.kubernetes is not None
        document = inventory.build(
            plan,
            [Node(node.name, "running") for node in plan.nodes],
            provider.capabilities(plan),
            SourceAccess("", "", ""),
            private_key=Path(),
            known_hosts=Path(),
            control_dir=Path(),
        )
        self.variables = inventory.variables_of(document, plan.control_plane.name)
        names = "".join(f"{one['address']} {one['name']}\\n" for one in self.variables["node_base_hosts"])
        resolvers = "".join(f"nameserver {one}\\n" for one in self.variables["kubernetes_packages_pod_resolvers"])
        self.names = NAMES.format(hosts=names, resolvers=resolvers)

    def template(self, role: str, name: str) -> str:
        """A role's own template, filled as the role fills it."""
        import jinja2
        import yaml
        from ansible.plugins.test.core import version_compare

        environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.ChainableUndefined)
        environment.filters["to_json"] = json.dumps
        environment.filters["bool"] = bool
        environment.tests["version"] = version_compare
        defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
        text = (ROOT / "roles" / role / "templates" / name).read_text()
        return environment.from_string(text).render(
            **{**defaults, "kubeadm_init_sync_frequency": "1m0s", **self.variables}
        )

    def install(self, hands: Hands, nodes: Mapping[str, str]) -> None:
        """Install everything on these nodes, each with its archive of images."""
        with bundle.serve(self.bundle, self.plan.network.gateway, PORT) as served:
            script = {
                "key": self.bundle.key_file.read_text().strip(),
                "url": served.url,
                "containerd": self.template("containerd", "config.toml.j2"),
                "packages": PACKAGES,
            }
            hands.on_all({name: INSTALL.format(**script, images=images) for name, images in nodes.items()})

    def make_image(self) -> None:
        """Keep one machine with everything in it, to be cloned."""
        first: NodePlan = self.plan.control_plane
        alone = replace(self.plan, nodes=(first,))
        with tempfile.TemporaryDirectory(prefix="labctl-bench-") as home:
            directory = LabDir.beside(Path(home) / "lab.yml", alone.name)
            directory.create()
            nodes = {node.name: node for node in self.provider.create(alone, directory, discard, "bench")}
            hands = Hands(directory, nodes, together=True)
            self.install(hands, {first.name: ALL_IMAGES})
            hands.on(first.name, FORGET)
            bakery = self.provider.bakery(discard, "bench")
            assert bakery is not None
            bakery.remove([IMAGE])
            bakery.keep(alone, first, IMAGE)
            self.provider.destroy(Lab(directory, alone).identity, discard, "bench")

    def build(self, directory: LabDir, *, together: bool, from_image: bool) -> dict[str, float]:
        """Everything from no machine to a cluster that works; seconds until then, and until an application runs."""
        plan, began = self.plan, time.monotonic()
        image = IMAGE if from_image else ""
        nodes = {node.name: node for node in self.provider.create(plan, directory, discard, "bench", image)}
        hands, head = Hands(directory, nodes, together), plan.control_plane.name
        if not from_image:
            self.install(hands, {node.name: _archive(node) for node in plan.nodes})
        join = hands.on(
            head,
            self.names
            + INIT.format(
                kubeadm=self.template("kubeadm_init", "kubeadm-init.yml.j2"),
                policies=self.template("network_policy", "kube-router.yml.j2"),
            ),
        ).strip()
        hands.on_all({node.name: self.names + JOIN.format(address=node.address, join=join) for node in plan.workers})
        hands.on_all(
            networks(plan, dict(line.split() for line in hands.on(head, CIDRS.format(nodes=len(nodes))).splitlines()))
        )
        hands.on(head, WAIT)
        ready = time.monotonic() - began
        hands.on(head, APP.format(image=next(one for one in self.bundle.images if "nginx" in one)))
        return {"seconds": round(ready, 1), "app_seconds": round(time.monotonic() - began, 1)}


def _archive(node: NodePlan) -> str:
    return ALL_IMAGES if node.role == "control_plane" else WORKER_IMAGES


def networks(plan: Plan, cidrs: Mapping[str, str]) -> dict[str, str]:
    """The script that lays each node's part of the pod network, and the routes to the others'."""
    addresses = {node.name: node.address for node in plan.nodes}
    return {
        name: NETWORK.format(
            cidr=cidr,
            routes="\n".join(
                f"ip route replace {other_cidr} via {addresses[other]}"
                for other, other_cidr in cidrs.items()
                if other != name
            ),
        )
        for name, cidr in cidrs.items()
    }


def main() -> None:
    """Build one lab, print the seconds, remove it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one-by-one", action="store_true")
    parser.add_argument("--from-image", action="store_true")
    parser.add_argument("--workers", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labctl-bench-") as home:
        file = Path(home) / "lab.yml"
        file.write_text(
            f"version: 1\nprovider: container\nnetwork: {{subnet: auto}}\nworkers: {{count: {chosen.workers}}}\n"
        )
        asked = spec.load(file)
        directory = planning.directory_of(asked)
        plan = planning.decide(asked)
        save_plan(directory, plan)
        found = bundle.find(paths.cache_dir(), plan.source.bundle_id or "")
        assert found is not None
        # One provider for all: as long as another one holds the Docker engine, it is not stopped with the last lab.
        provider = registry.provider(plan.provider)
        bench = Bench(provider, plan, found)
        try:
            if chosen.from_image:
                bench.make_image()
            provider.prepare(discard, "bench")
            result: dict[str, Any] = bench.build(
                directory, together=not chosen.one_by_one, from_image=chosen.from_image
            )
            print(json.dumps(result))
        finally:
            provider.destroy(Lab(directory, plan).identity, discard, "bench")
            provider.close(discard, "bench")


if __name__ == "__main__":
    main()
