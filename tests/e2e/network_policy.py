"""A NetworkPolicy on a lab: it denies while it is there, and no longer."""

from __future__ import annotations

from tests.e2e.conftest import User, poll

_SHOP = """
apiVersion: v1
kind: Pod
metadata: {{name: shop, labels: {{app: shop}}}}
spec:
  nodeName: {shop}
  containers: [{{name: shop, image: labctl/whoami:1, imagePullPolicy: Never}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: customer}}
spec:
  nodeName: {customer}
  tolerations: [{{operator: Exists}}]
  containers: [{{name: customer, image: labctl/shell:1, imagePullPolicy: Never}}]
---
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec: {{selector: {{app: shop}}, ports: [{{port: 80}}]}}
"""
_DENY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""


def require_enforcement(user: User, *, shop: str, customer: str) -> None:
    """Have a pod on one node ask a Service whose pod runs on another, with and without a policy."""
    (user.home / "shop.yml").write_text(_SHOP.format(shop=shop, customer=customer))
    (user.home / "deny.yml").write_text(_DENY)

    def answers() -> bool:
        argv = ("kubectl", "--", "exec", "customer", "--", "curl", "-sf", "--max-time", "3", "http://shop")
        return user.run(*argv, timeout=60).returncode == 0

    user.kubectl("apply", "-f", "shop.yml")
    user.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    poll("the shop answers", answers)
    user.kubectl("apply", "-f", "deny.yml")
    poll("the policy denies", lambda: not answers())
    user.kubectl("delete", "-f", "deny.yml")
    poll("the shop answers again", answers)
    user.kubectl("delete", "-f", "shop.yml", "--grace-period=1")
