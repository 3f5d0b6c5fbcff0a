"""What the role lab_materials promises about the users of the control plane."""

import pytest

# The paths of each set below a home directory, with their modes.
FILES = {
    "labs": {
        "labs/README.md": "644",
        "labs/nginx-pod.yaml": "644",
        "labs/echo-deployment.yaml": "644",
        "labs/echo-service.yaml": "644",
        "labs/echo-nodeport.yaml": "644",
        "labs/shell-pod.yaml": "644",
    },
    "book": {
        "_Book_k8sInfra/ch3/3.1.6/nginx-pod.yaml": "644",
        "_Book_k8sInfra/ch3/3.2.4/echo-hname.yaml": "644",
        "_Book_k8sInfra/ch3/3.2.8/echo-hname.yaml": "644",
    },
    "ping": {"ping_2_nds.sh": "744"},
}


def test_each_user_has_the_exercises(host, lab_vars):
    if "control_plane" not in lab_vars["group_names"]:
        pytest.skip("not applicable: the exercises lie on the control plane")
    users = lab_vars.get("lab_materials_users") or pytest.skip("not applicable: nobody gets exercises here")
    sets = lab_vars.get("lab_materials_sets", ["labs"])
    files = " ".join(f"{mode}:{path}" for name in sets for path, mode in FILES[name].items())
    command = (
        f"for user in {' '.join(users)}; do home=$(getent passwd $user | cut -d: -f6); for file in {files}; do "
        'path=$home/${file#*:}; [ "$(stat -c %a:%U $path 2>/dev/null)" = ${file%%:*}:$user ] || echo $path; done; done'
    )
    missing = host.check_output(command).split()
    assert not missing, f"missing, of another mode or not the user's own: {', '.join(missing)}"
