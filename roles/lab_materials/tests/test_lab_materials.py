"""What the role lab_materials promises about the users of the control plane."""

import pytest

FILES = (
    "README.md",
    "nginx-pod.yaml",
    "echo-deployment.yaml",
    "echo-service.yaml",
    "echo-nodeport.yaml",
    "shell-pod.yaml",
)


def test_each_user_has_the_exercises(host, lab_vars):
    if "control_plane" not in lab_vars["group_names"]:
        pytest.skip("not applicable: the exercises lie on the control plane")
    users = lab_vars.get("lab_materials_users", ["root"]) if "kubeadm_init_version" in lab_vars else []
    if not users:
        pytest.skip("not applicable: this lab has no Kubernetes")
    names = " ".join(FILES)
    command = (
        f"for user in {' '.join(users)}; do for name in {names}; do f=$(getent passwd $user | cut -d: -f6)/labs/$name; "
        '[ "$(stat -c %U $f 2>/dev/null)" = $user ] || echo $f; done; done'
    )
    missing = host.check_output(command).split()
    assert not missing, f"missing or not the user's own: {', '.join(missing)}"
