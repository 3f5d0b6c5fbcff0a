#!/usr/bin/python
"""Ansible module: report how far kubeadm came on this node, from its files, its kubelet and the API server.

Ansible has no module for kubeadm. The same from stat, slurp, systemd and uri would take a dozen executions, and the
decision what may be reset would be spread over as many `when` lines.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_state
short_description: Report what kubeadm made of this node
description:
  - Changes nothing. Tells a healthy control plane or worker from one that was never started, one that was
    interrupted, and one that was healthy before and does not answer now (which must never be reset).
options:
  role:
    description: What the node is meant to be.
    type: str
    choices: [control_plane, worker]
    required: true
  node_name:
    description: Name of the node in the API.
    type: str
    required: true
  endpoint:
    description: API server as C(address:port).
    type: str
    required: true
  timeout:
    description: Seconds to wait for an API server that does not answer although this node was healthy before.
    type: int
    default: 0
"""

RETURN = r"""
state:
  description: >-
    absent (no trace of kubeadm), healthy (the API answers and knows the node), interrupted (traces of kubeadm, never
    healthy), silent (healthy once, does not answer now), unregistered (the API answers and does not know the node).
  type: str
  returned: always
reason:
  description: What was observed, in one sentence.
  type: str
  returned: always
missing:
  description: Files that a node of this role has and this one lacks, unless it is absent.
  type: list
  returned: always
marked:
  description: Whether this control plane was healthy once.
  type: bool
  returned: always
kubelet_running:
  description: Whether the kubelet is active now and enabled at boot.
  type: bool
  returned: always
"""

import base64
import fcntl
import http.client
import os
import re
import socket
import ssl
import subprocess
import tempfile
import time

# kubeadm reset empties this directory: the mark of a cluster that was healthy goes with the cluster.
MARK = "/etc/kubernetes/pki/labctl-healthy"
# Held by kubeadm while it works: a run whose controller was killed goes on here, and evaluating a half-written state
# (or resetting it) would break both.
LOCK = "/run/lock/labctl-kubeadm"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
KUBECONFIGS = ("admin", "controller-manager", "scheduler", "kubelet")
CONTROL_PLANE_FILES = (
    *(f"/etc/kubernetes/manifests/{name}.yaml" for name in COMPONENTS),
    *(f"/etc/kubernetes/{name}.conf" for name in KUBECONFIGS),
)
CONTROL_PLANE_TRACES = (*CONTROL_PLANE_FILES, "/etc/kubernetes/pki/ca.crt", "/var/lib/etcd/member")
CONTROL_PLANE_CLIENT = (
    "/etc/kubernetes/pki/ca.crt",
    "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
    "/etc/kubernetes/pki/apiserver-kubelet-client.key",
)
# OpenSSL's codes for a certificate that another authority signed.
FOREIGN_AUTHORITY = (7, 18, 19, 20, 21)
WORKER_FILES = (
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/pki/ca.crt",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
)
WORKER_TRACES = (*WORKER_FILES, "/etc/kubernetes/bootstrap-kubelet.conf")


def split_existing(paths):
    """Those of `paths` that exist on this node, and those that do not."""
    existing = [path for path in paths if os.path.exists(path)]
    return existing, [path for path in paths if path not in existing]


def tls_context(authority, certificate, key=None):
    """A client's side of TLS with the cluster: its authority and the node's own credential."""
    context = ssl.create_default_context(cafile=authority)
    # Python 3.13 refuses authorities without key usage extensions that older kubeadm versions left out
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    context.load_cert_chain(certificate, key)
    return context


def http_status(context, endpoint, path):
    """Status code of one GET at the API server; raises OSError or HTTPException when there is no answer."""
    host, port = endpoint.rsplit(":", 1)
    connection = http.client.HTTPSConnection(host, int(port), timeout=3, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def evaluate(context, endpoint, node_name, was_healthy):
    """State and reason by one request with the node's own credential."""
    unanswered = "silent" if was_healthy else "interrupted"
    server = f"https://{endpoint}"
    try:
        status = http_status(context, endpoint, f"/api/v1/nodes/{node_name}")
    except ssl.SSLCertVerificationError as error:
        # a date or a name that is wrong says nothing about whose cluster it is
        state = "interrupted" if error.verify_code in FOREIGN_AUTHORITY else unanswered
        return state, f"{server} shows a certificate that this node does not trust ({error.verify_message})"
    except (OSError, http.client.HTTPException) as error:
        return unanswered, f"{server} does not answer ({error})"
    known = {
        200: ("healthy", f"{server} answers and knows {node_name}"),
        404: ("unregistered", f"{server} answers and does not know {node_name}"),
    }
    if status in (401, 403):
        return "interrupted", f"{server} refuses this node's credential (HTTP {status})"
    return known.get(status, (unanswered, f"{server} answers HTTP {status}"))


def control_plane_state(endpoint, node_name):
    """State, reason and missing files of a control plane."""
    traces, _ = split_existing(CONTROL_PLANE_TRACES)
    if not traces:
        return "absent", "no trace of a control plane", []
    _, missing = split_existing(CONTROL_PLANE_FILES)
    _, missing_client = split_existing(CONTROL_PLANE_CLIENT)
    marked = os.path.exists(MARK)
    unusable = "silent" if marked else "interrupted"
    if missing_client:
        return unusable, f"{missing_client[0]} is missing, {traces[0]} exists", missing
    try:
        context = tls_context(*CONTROL_PLANE_CLIENT)
    except (OSError, ValueError) as error:
        return unusable, f"unusable certificate in /etc/kubernetes/pki ({error})", missing
    state, reason = evaluate(context, endpoint, node_name, marked)
    if marked and state == "interrupted":
        state = "silent"
    if not marked and (state == "unregistered" or (state == "healthy" and not is_finished(context, endpoint))):
        state, reason = "interrupted", f"{reason}, but kubeadm init never finished"
    return state, reason, missing


def is_finished(context, endpoint):
    """Whether kubeadm init came to its last step, the kube-proxy addon."""
    try:
        return http_status(context, endpoint, "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy") == 200
    except (OSError, http.client.HTTPException):
        return False


def worker_state(endpoint, node_name):
    """State, reason and missing files of a worker."""
    traces, _ = split_existing(WORKER_TRACES)
    if not traces:
        return "absent", "no trace of an earlier join", []
    _, missing = split_existing(WORKER_FILES)
    if missing:
        return "interrupted", f"{traces[0]} exists, {missing[0]} does not", missing
    if WORKER_TRACES[-1] in traces:
        return "interrupted", f"{WORKER_TRACES[-1]} is left from a join that did not end", []
    with open(WORKER_FILES[0], encoding="utf-8") as stream:
        server, authority = connection_of(stream.read())
    if server != endpoint:
        return "interrupted", f"this node belongs to the cluster at {server}", []
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".crt") as copy:
            copy.write(authority)
            copy.flush()
            context = tls_context(copy.name, WORKER_FILES[3])
    except (OSError, ValueError) as error:
        return "interrupted", f"unusable certificate of the kubelet ({error})", []
    return (*evaluate(context, endpoint, node_name, was_healthy=True), [])


def connection_of(kubeconfig):
    """Endpoint and authority (PEM) that a kubeconfig written by kubeadm names; there is no YAML reader on a node."""
    server = re.search(r"^\s*server: https://(\S+)$", kubeconfig, re.MULTILINE)
    data = re.search(r"^\s*certificate-authority-data: (\S+)$", kubeconfig, re.MULTILINE)
    return (server[1] if server else ""), (base64.b64decode(data[1]).decode() if data else "")


def kubelet_is_running():
    """Whether systemd runs the kubelet now and will at boot."""
    commands = (["systemctl", "is-active", "kubelet"], ["systemctl", "is-enabled", "kubelet"])
    return all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in commands)


def wait_for_kubeadm(seconds=300):
    """Wait until no kubeadm of an earlier run works on this node any more; raises BlockingIOError at the end."""
    deadline = time.monotonic() + seconds
    with open(LOCK, "a", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)


def discover(role, endpoint, node_name, timeout):
    """State, reason and missing files; waits up to `timeout` seconds for a cluster that was healthy before."""
    observe = control_plane_state if role == "control_plane" else worker_state
    deadline = time.monotonic() + timeout
    while True:
        state, reason, missing = observe(endpoint, node_name)
        # no wait brings back files that are missing
        if state != "silent" or missing or time.monotonic() >= deadline:
            return state, reason, missing
        time.sleep(1)


def main() -> None:
    """Run the module."""
    from ansible.module_utils.basic import AnsibleModule

    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "choices": ["control_plane", "worker"], "required": True},
            "node_name": {"type": "str", "required": True},
            "endpoint": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params
    socket.setdefaulttimeout(5)
    try:
        wait_for_kubeadm()
    except BlockingIOError:
        module.fail_json(msg=f"a kubeadm of an earlier run still holds {LOCK} on this node; end it, then run again")
    state, reason, missing = discover(params["role"], params["endpoint"], params["node_name"], params["timeout"])
    module.exit_json(
        changed=False,
        state=state,
        reason=reason,
        missing=missing,
        kubelet_running=kubelet_is_running(),
        marked=os.path.exists(MARK),
    )


if __name__ == "__main__":
    main()
