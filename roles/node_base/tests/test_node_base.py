"""What the role node_base promises about a node."""

import pytest


def test_node_has_its_own_name(host, lab_vars):
    expected = lab_vars.get("node_base_hostname", lab_vars["inventory_hostname"])
    assert host.check_output("uname -n") == expected


def test_every_node_of_the_lab_resolves_to_its_lab_address(host, lab_vars):
    nodes = lab_vars.get("node_base_hosts") or pytest.skip("not applicable: no nodes are listed for /etc/hosts")
    found = {tuple(line.split()) for line in host.file("/etc/hosts").content_string.splitlines() if line.strip()}
    missing = [node["name"] for node in nodes if (node["address"], node["name"]) not in found]
    assert not missing, f"/etc/hosts lacks {', '.join(missing)}"


def test_the_hosts_block_exists_once(host, lab_vars):
    if not lab_vars.get("node_base_hosts"):
        pytest.skip("not applicable: no nodes are listed for /etc/hosts")
    assert host.file("/etc/hosts").content_string.count("# BEGIN node_base (managed)") == 1


def test_configured_resolvers_are_in_use(host, lab_vars):
    servers = lab_vars.get("node_base_resolvers") or pytest.skip("not applicable: the node keeps its own resolvers")
    text = host.check_output("cat /etc/resolv.conf /etc/systemd/resolved.conf.d/90-node-base.conf 2>/dev/null || true")
    missing = [server for server in servers if server not in text.split() and f"DNS={server}" not in text.split()]
    assert not missing, f"resolvers not configured: {', '.join(missing)}"


def test_vi_is_vim_in_a_login_shell(host):
    assert "vim" in host.check_output("bash -lc 'shopt -s expand_aliases; alias vi' 2>/dev/null || true")


def test_tools_of_daily_work_are_installed(host, lab_vars):
    if lab_vars.get("node_base_packages"):
        pytest.skip("not applicable: the lab names the packages of its nodes itself")
    missing = host.check_output("for tool in vim git curl ip ping; do command -v $tool >/dev/null || echo $tool; done")
    assert not missing, f"not installed: {' '.join(missing.split())}"


def test_the_users_of_a_node_can_reach_the_others_by_ssh(host, lab_vars):
    users, nodes = lab_vars.get("node_base_ssh_users"), lab_vars.get("node_base_ssh_nodes")
    if not users or not nodes or not lab_vars.get("node_base_ssh_key_file"):
        pytest.skip("not applicable: the lab has no key between its nodes")
    lines = [f"{node['name']},{node['address']} {key}" for node in nodes for key in node["keys"]]
    pinned = "\n".join(lines)
    script = (
        f"for user in {' '.join(users)}; do home=$(getent passwd $user | cut -d: -f6)/.ssh; "
        '[ "$(stat -c %a:%U $home/labctl_nodes 2>/dev/null)" = 600:$user ] || echo "$user has no key"; '
        "grep -q '^from=' $home/authorized_keys 2>/dev/null || echo \"$user lets no node in\"; done; "
        f"[ \"$(sed -n '/^# BEGIN node_base/,/^# END node_base/{{/^#/!p}}' /etc/ssh/ssh_known_hosts)\" = '{pinned}' ] "
        "|| echo other host keys are pinned"
    )
    missing = host.check_output(script)
    assert not missing, "; ".join(missing.splitlines())


def test_root_logs_in_as_lab_yml_says(host, lab_vars):
    if not lab_vars.get("node_base_root_key_file"):
        pytest.skip("not applicable: people log in as the machine's own user")
    by_password = lab_vars.get("node_base_root_password_file")
    node = lab_vars["node_base_ssh_nodes"][0]["address"]
    # A node of the lab, and who is none: the host's forwarded ports come from neither's address.
    asked = f"user=root,host=a,addr={node}", "user=root,host=a,addr=203.0.113.1"
    shown = "grep -E '^(permitrootlogin|passwordauthentication) ' | sort | cut -d' ' -f2 | tr '\\n' ' '"
    answers = host.check_output("; ".join(f"sshd -T -C {one} | {shown}; echo" for one in asked)).splitlines()
    key_only = {"no without-password", "no prohibit-password"}
    from_node, from_elsewhere = (" ".join(answer.split()) for answer in answers)
    assert from_elsewhere in key_only, f"from elsewhere root logs in by: {from_elsewhere}"
    locked = host.check_output("getent shadow root | cut -d: -f2 | cut -c1") in ("*", "!")
    if by_password and not locked:
        assert from_node == "yes yes", f"from a node root logs in by: {from_node}"
    else:
        assert from_node in key_only, f"from a node root logs in by: {from_node}"
    assert host.run("grep -q '^ssh-' /root/.ssh/authorized_keys").succeeded, "root lets the lab's key not in"
