# Take off a machine that its owner keeps whoever the lab let in, the lab's names and its package source; prints
# "changed: ..." for each. Before reset.sh, which removes the file that a kubeconfig is known by. $1: the login user,
# $2: the key with which labctl came (its base64 part).
set -u
failed=0
gone() { echo "changed: $1"; }

# Written in place: one that is mounted over the machine's own file cannot be replaced.
edit() {
    [ -f "$1" ] || return 0
    fresh=$(mktemp) || exit 1
    sed -e "$2" "$1" >"$fresh" || failed=1
    cmp -s "$1" "$fresh" || { cat "$fresh" >"$1" && gone "$1" || failed=1; }
    rm -f "$fresh"
}
remove() {
    for path; do
        [ ! -e "$path" ] && [ ! -L "$path" ] || { rm -rf "$path" && gone "$path" || failed=1; }
    done
}

block='/^# BEGIN node_base (managed)$/,/^# END node_base (managed)$/d'
login=$(getent passwd "$1" | cut -d: -f6)

systemctl disable --now node-base-restore.service kubelet.service 2>/dev/null || true
edit /etc/hosts "$block"
edit /etc/ssh/ssh_known_hosts "$block"
edit /etc/environment "$block"
remove /etc/ssh/ssh_config.d/90-node-base.conf /etc/ssh/sshd_config.d/00-node-base.conf \
    /etc/systemd/system/node-base-restore.service /usr/local/lib/node_base \
    /etc/sudoers.d/90-node-base /etc/apt/apt.conf.d/90-node-base /etc/NetworkManager/conf.d/90-node-base.conf \
    /etc/dhcp/dhclient-enter-hooks.d/node_base /etc/systemd/resolved.conf.d/90-node-base.conf \
    /etc/profile.d/90-node-base.sh /etc/profile.d/labctl-kubectl.sh \
    /usr/local/share/bash-completion/completions/kubectl /usr/local/share/bash-completion/completions/k \
    /etc/apt/sources.list.d/kubernetes.sources /etc/apt/keyrings/kubernetes.asc \
    /etc/yum.repos.d/kubernetes.repo /etc/pki/rpm-gpg/RPM-GPG-KEY-kubernetes
for anchor in /usr/local/share/ca-certificates/node_base.crt /etc/pki/ca-trust/source/anchors/node_base.crt; do
    [ -e "$anchor" ] || continue
    remove "$anchor"
    { update-ca-certificates --fresh || update-ca-trust; } >/dev/null 2>&1 || failed=1
done
systemctl daemon-reload
systemctl reload ssh 2>/dev/null || systemctl reload sshd || failed=1

for home in /root "$login"; do
    # Of another cluster, its owner's
    ! cmp -s /etc/kubernetes/admin.conf "$home/.kube/config" || remove "$home/.kube/config" "$home/.kube/cache"
    [ ! -d "$home/.kube" ] || rmdir "$home/.kube" 2>/dev/null || true
    remove "$home/.ssh/labctl_nodes"
    edit "$home/.ssh/authorized_keys" "$block"
done
# The key of this very connection, last
edit "$login/.ssh/authorized_keys" "\\|$2|d"
exit "$failed"
