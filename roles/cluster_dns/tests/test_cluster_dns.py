"""What the role cluster_dns promises about names in the cluster."""

import pytest

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=10s -n kube-system"


@pytest.fixture(autouse=True)
def _control_plane_only(lab_vars):
    if "control_plane" not in lab_vars["group_names"]:
        pytest.skip("not applicable: checked once, on the control plane")
    if "cluster_dns_provider" not in lab_vars:
        pytest.skip("not applicable: this lab has no Kubernetes")


def test_the_dns_service_has_its_address_and_ready_endpoints(host, lab_vars):
    text = host.check_output(
        f"{{ {KUBECTL} get service kube-dns -o jsonpath='{{.spec.clusterIP}} '; "
        f"{KUBECTL} get endpointslices -l kubernetes.io/service-name=kube-dns "
        "-o jsonpath='{.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}'; } 2>&1 || true"
    )
    address, *behind = text.split() or [""]
    assert address == lab_vars["cluster_dns_address"], text or "there is no Service kube-dns"
    assert behind, "no DNS server is ready behind kube-dns"


def test_the_api_servers_name_resolves_on_the_node(host, lab_vars):
    domain, address = lab_vars.get("cluster_dns_domain", "cluster.local"), lab_vars["cluster_dns_address"]
    program = (
        "import random, socket, struct, sys; name = sys.argv[1]; ident = random.randrange(65536); "
        "q = struct.pack('>6H', ident, 256, 1, 0, 0, 0) "
        "+ b''.join(bytes([len(p)]) + p.encode() for p in name.split('.')) + b'\\0\\0\\1\\0\\1'; "
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q, (sys.argv[2], 53)); "
        "a = s.recv(4096); print(socket.inet_ntoa(a[-4:]) if a[3] & 15 == 0 and a[7] else 'rcode %d' % (a[3] & 15))"
    )
    answer = host.check_output(
        f'python3 -c "{program}" kubernetes.default.svc.{domain} {address} 2>&1 | tail -n 1; '
        "kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=10s get service kubernetes "
        "-o jsonpath='{.spec.clusterIP}' 2>&1 || true"
    ).split("\n")
    assert answer[0] == answer[-1], f"kubernetes.default.svc.{domain}: {answer[0]}, the API says {answer[-1]}"


def test_every_dns_server_is_ready(host):
    text = host.check_output(
        f"{KUBECTL} get deployment -l k8s-app=kube-dns "
        "-o jsonpath='{.items[0].spec.replicas} {.items[0].status.readyReplicas}' 2>&1 || true"
    )
    expected, _, ready = text.partition(" ")
    assert expected == ready, f"{ready or 0} of {expected} DNS servers are ready"
