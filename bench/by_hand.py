"""The lab as a practised person scripts it: the yardstick for `bench/run.py warm`.

Same node image, same bundle over HTTP, same packages, images, cluster, pod network and DNS as `labctl provision`; no
Ansible, no checks beyond "all nodes Ready and the DNS rolled out", every step on all nodes at once.
`--one-by-one` does the nodes one after the other, as the course book's scripts do.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from orchestrator import bundle, paths, spec  # noqa: E402
from orchestrator.bundle.manifest import ALL_IMAGES, WORKER_IMAGES  # noqa: E402
from orchestrator.events import discard  # noqa: E402
from orchestrator.lab import planning  # noqa: E402
from orchestrator.lab.state import Lab, save_plan  # noqa: E402
from orchestrator.model import Node, Plan  # noqa: E402
from orchestrator.paths import LabDir  # noqa: E402
from orchestrator.providers import registry, ssh_access  # noqa: E402
from orchestrator.providers.base import Provider  # noqa: E402

# What the roles install on every node, in one transaction.
PACKAGES = (
    "vim git curl bash-completion docker.io apparmor iptables conntrack ebtables ethtool socat "
    "kubelet kubeadm kubectl kubernetes-cni"
)

PREPARE = """set -e
cat >/usr/share/keyrings/lab.asc <<'KEY'
{key}
KEY
echo 'deb [signed-by=/usr/share/keyrings/lab.asc] {url}/apt ./' >/etc/apt/sources.list.d/lab.list
mkdir -p /etc/docker
cat >/etc/docker/daemon.json <<'J'
{{"exec-opts":["native.cgroupdriver={driver}"],"default-runtime":"lab","runtimes":{{"lab":{{"path":"{oci}"}}}}}}
J
printf '{hosts}' >>/etc/hosts
sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 net.ipv4.ip_forward=1 || true
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends {packages} >/dev/null
apt-mark hold kubelet kubeadm kubectl >/dev/null
systemctl enable -q --now docker kubelet
curl -sS {url}/{images} | docker load -q >/dev/null
"""

INIT = """set -e
cat >/root/init.yml <<'Y'
apiVersion: kubeadm.k8s.io/v1beta2
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: {address}}}
nodeRegistration: {{kubeletExtraArgs: {{node-ip: {address}, cgroup-driver: {driver}}}}}
---
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
kubernetesVersion: v{version}
imageRepository: registry.k8s.io
networking: {{podSubnet: {pods}, serviceSubnet: {services}}}
apiServer: {{certSANs: [127.0.0.1]}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failSwapOn: false
cgroupDriver: {driver}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {{maxPerCore: 0}}
Y
kubeadm init --config /root/init.yml --skip-phases=addon/coredns --ignore-preflight-errors=all >/root/init.log 2>&1
kubeadm token create --print-join-command
"""

NETWORK = """set -e
mkdir -p /etc/cni/net.d
cat >/etc/cni/net.d/10-lab.conflist <<'C'
{{"cniVersion":"0.4.0","name":"lab","plugins":[{{"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,
"ipMasq":true,"ipam":{{"type":"host-local","ranges":[[{{"subnet":"{cidr}"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]}}}},
{{"type":"portmap","capabilities":{{"portMappings":true}}}}]}}
C
{routes}
iptables -P FORWARD ACCEPT
"""

KUBECTL = "kubectl --kubeconfig /etc/kubernetes/admin.conf "


class Hands:
    """Somebody with a shell on every node."""

    def __init__(self, directory: LabDir, nodes: dict[str, Node], together: bool) -> None:
        self.directory, self.nodes, self.together = directory, nodes, together

    def on(self, name: str, script: str) -> str:
        """Run a script as root on a node; return what it printed."""
        argv = ssh_access.ssh_argv(self.directory, self.nodes[name], command=("sudo", "bash", "-s"))
        done = subprocess.run(argv, input=script, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{name}: {done.stderr[-1500:]}")
        return done.stdout

    def on_all(self, scripts: dict[str, str]) -> None:
        """Run each node's script, all at once or one after the other."""
        with concurrent.futures.ThreadPoolExecutor(len(scripts) if self.together else 1) as pool:
            list(pool.map(lambda item: self.on(*item), scripts.items()))


def build(provider: Provider, plan: Plan, directory: LabDir, found: bundle.BundleInfo, together: bool) -> None:
    """Everything from no machine to all nodes Ready with a DNS."""
    nodes = {node.name: node for node in provider.create(plan, directory, discard, "bench")}
    hands, kubernetes = Hands(directory, nodes, together), plan.kubernetes
    assert kubernetes is not None
    hosts = "".join(f"{node.address} {node.name}\\n" for node in plan.nodes)
    with bundle.serve(found, plan.network.gateway, 60080) as served:
        hands.on_all(
            {
                node.name: PREPARE.format(
                    key=found.key_file.read_text().strip(),
                    url=served.url,
                    driver=kubernetes.cgroup_driver,
                    oci=provider.capabilities().oci_runtime,
                    hosts=hosts,
                    packages=PACKAGES,
                    images=ALL_IMAGES if node is plan.control_plane else WORKER_IMAGES,
                )
                for node in plan.nodes
            }
        )
    head = plan.control_plane.name
    join = hands.on(
        head,
        INIT.format(
            address=plan.control_plane.address,
            version=kubernetes.version,
            pods=plan.network.pod_cidr,
            services=plan.network.service_cidr,
            driver=kubernetes.cgroup_driver,
        ),
    ).strip()
    hands.on_all(
        {
            node.name: f"echo KUBELET_EXTRA_ARGS=--node-ip={node.address} >/etc/default/kubelet\n"
            f"{join} --ignore-preflight-errors=all >/root/join.log 2>&1"
            for node in plan.workers
        }
    )
    text = hands.on(head, KUBECTL + "get nodes -o json")
    cidrs = {item["metadata"]["name"]: item["spec"]["podCIDR"] for item in json.loads(text)["items"]}
    addresses = {node.name: node.address for node in plan.nodes}
    hands.on_all(
        {
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
    )
    manifest = dns_manifest(plan)
    hands.on(head, f"{KUBECTL}apply -f - <<'M'\n{manifest}\nM")
    hands.on(head, KUBECTL + "wait --for=condition=Ready nodes --all --timeout=180s")
    hands.on(head, KUBECTL + "-n kube-system rollout status deployment/dnsmasq --timeout=180s")


def dns_manifest(plan: Plan) -> str:
    """The role's own manifest, rendered as the role does."""
    import jinja2

    template = next((ROOT / "roles" / "cluster_dns" / "templates").glob("*.j2"))
    environment = jinja2.Environment(undefined=jinja2.ChainableUndefined, trim_blocks=True)
    environment.filters["to_json"] = json.dumps
    environment.filters["quote"] = shlex.quote
    defaults = {
        "cluster_dns_address": plan.network.dns_address,
        "cluster_dns_domain": plan.network.dns_domain,
        "cluster_dns_upstreams": list(plan.network.resolvers),
        "cluster_dns_image": "labctl/dnsmasq:1",
        "cluster_dns_replicas": 2,
    }
    return environment.from_string(template.read_text()).render(**defaults)


def main() -> None:
    """Build one lab, print the seconds, remove it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one-by-one", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labctl-bench-") as home:
        file = Path(home) / "lab.yml"
        file.write_text("version: 1\nprovider: container\nnetwork: {subnet: auto}\n")
        asked = spec.load(file)
        directory = planning.directory_of(asked)
        plan = planning.decide(asked)
        save_plan(directory, plan)
        found = bundle.find(paths.cache_dir(), plan.source.bundle_id or "")
        assert found is not None
        # One provider for all: as long as another one holds the Docker engine, it is not stopped with the last lab.
        provider = registry.provider(plan.provider)
        began = time.monotonic()
        try:
            build(provider, plan, directory, found, together=not chosen.one_by_one)
            print(json.dumps({"seconds": round(time.monotonic() - began, 1)}))
        finally:
            provider.destroy(Lab(directory, plan).identity, discard, "bench")
            provider.close(discard, "bench")


if __name__ == "__main__":
    main()
