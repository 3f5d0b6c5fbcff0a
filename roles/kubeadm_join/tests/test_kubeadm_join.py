"""What the role kubeadm_join promises about a worker."""

import pytest


@pytest.fixture(autouse=True)
def _workers_only(lab_vars):
    if "workers" not in lab_vars["group_names"]:
        pytest.skip("not applicable: the control plane does not join")
    if "kubeadm_join_endpoint" not in lab_vars:
        pytest.skip("not applicable: this lab has no Kubernetes")


def test_the_worker_belongs_to_this_cluster(host, lab_vars):
    text = host.check_output("grep -h 'server:' /etc/kubernetes/kubelet.conf 2>/dev/null || true")
    server = text.split("https://")[-1].strip()
    assert server, "this node never joined: /etc/kubernetes/kubelet.conf is missing"
    assert server == lab_vars["kubeadm_join_endpoint"], f"this node belongs to the cluster at {server}"


def test_the_api_server_knows_the_worker(host, lab_vars):
    name, endpoint = lab_vars["kubeadm_join_node_name"], lab_vars["kubeadm_join_endpoint"]
    pem = "/var/lib/kubelet/pki/kubelet-client-current.pem"
    # A busy API server takes more than five seconds for this and is no reason to say that it does not answer.
    code = host.check_output(
        f"curl -s --noproxy '*' -m 15 --cacert /etc/kubernetes/pki/ca.crt --cert {pem} -o /dev/null "
        f"-w '%{{http_code}}' https://{endpoint}/api/v1/nodes/{name}; true"
    )
    assert code == "200", f"https://{endpoint} " + ("does not answer" if code == "000" else f"answers {code}")


def test_no_file_with_a_token_is_left(host):
    paths = "/run/labctl/kubeadm-join.yml /etc/kubernetes/bootstrap-kubelet.conf"
    left = host.check_output(f"ls {paths} 2>/dev/null || true").split()
    assert not left, f"holds a bootstrap token: {', '.join(left)}"


def test_only_root_can_read_the_kubelets_credential(host):
    paths = "/etc/kubernetes/kubelet.conf /var/lib/kubelet/pki/kubelet-client-current.pem"
    loose = host.check_output(rf"find -L {paths} \( ! -user root -o -perm /077 \) 2>/dev/null || true").split()
    assert not loose, f"readable by others: {', '.join(loose)}"
