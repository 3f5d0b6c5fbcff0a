"""What the role kubeadm_init promises about the control plane."""

import re

import pytest


@pytest.fixture(autouse=True)
def _control_plane_only(lab_vars):
    if "control_plane" not in lab_vars["group_names"]:
        pytest.skip("not applicable: a worker has no control plane")
    if "kubeadm_init_version" not in lab_vars:
        pytest.skip("not applicable: this lab has no Kubernetes")


def test_only_root_can_read_the_configuration_of_kubeadm(host):
    status = host.check_output("stat -c '%a %U' /etc/kubernetes/kubeadm-init.yml 2>&1 || true")
    assert status == "600 root", status


def test_every_control_plane_component_has_its_manifest(host):
    # With their directory: a manifest that was moved up by one is not in its place.
    present = set(host.check_output("cd /etc/kubernetes && ls -d manifests/* * 2>/dev/null || true").split())
    parts = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    expected = {f"manifests/{part}.yaml" for part in parts}
    expected |= {f"{name}.conf" for name in ("admin", "kubelet", "controller-manager", "scheduler")}
    assert not expected - present, f"missing in /etc/kubernetes: {', '.join(sorted(expected - present))}"


def test_the_api_server_advertises_its_lab_address(host, lab_vars):
    text = host.check_output("cat /etc/kubernetes/manifests/kube-apiserver.yaml 2>/dev/null || true")
    if not text:
        pytest.skip("waits for kubeadm_init.manifests")
    found = re.findall(r"--advertise-address=(\S+)", text)
    assert found == [lab_vars["kubeadm_init_node_ip"]], f"kube-apiserver advertises {found or 'nothing'}"


def test_every_control_plane_component_reports_healthy(host):
    urls = {
        "kube-apiserver": "https://127.0.0.1:6443/readyz",
        "kube-controller-manager": "https://127.0.0.1:10257/healthz",
        "kube-scheduler": "https://127.0.0.1:10259/healthz",
        "etcd": "http://127.0.0.1:2381/health",
    }
    # All at once, and each with time to answer: what is only busy is not sick.
    asks = " & ".join(
        f"curl -ks --noproxy '*' -m 15 -o /dev/null -w '{name} %{{http_code}}\\n' {url}" for name, url in urls.items()
    )
    answers = host.check_output(f"({asks} & wait)").splitlines()
    codes = dict(line.split() for line in sorted(answers))
    sick = [f"{name} answers {code}" for name, code in codes.items() if code != "200"]
    assert not sick, ", ".join(sick).replace("answers 000", "does not answer")


def test_the_api_servers_certificate_covers_every_name_it_is_reached_by(host, lab_vars):
    program = (
        "import ssl; c = ssl._ssl._test_decode_cert('/etc/kubernetes/pki/apiserver.crt'); "
        "print(*[value.strip() for kind, value in c['subjectAltName']])"
    )
    names = set(host.check_output(f'python3 -c "{program}" 2>&1 || true').split())
    missing = set(lab_vars.get("kubeadm_init_cert_sans", ["127.0.0.1", "localhost"])) - names
    assert not missing, f"not in the certificate: {', '.join(sorted(missing))}"


def test_only_root_can_read_keys_and_credentials(host):
    secrets = r"\( -name '*.key' -o -name '*.conf' ! -name resolv.conf \)"
    command = rf"find /etc/kubernetes {secrets} \( ! -user root -o -perm /077 \) 2>/dev/null"
    loose = host.check_output(f"{command} || true").split()
    assert not loose, f"readable by others: {', '.join(loose)}"
