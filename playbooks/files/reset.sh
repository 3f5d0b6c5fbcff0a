# Undo what kubeadm and the pod network made on this node; prints "changed: ..." for each thing undone. NETWORK_FILES are
# the configuration of a pod network that the lab's user installed.
set -u
failed=0
gone() { echo "changed: $1"; }

if [ -e /etc/kubernetes/kubelet.conf ] || [ -e /etc/kubernetes/pki/ca.crt ] || [ -e /etc/kubernetes/manifests/etcd.yaml ] ||
    [ -e /etc/kubernetes/bootstrap-kubelet.conf ] || [ -e /var/lib/kubelet/config.yaml ] || [ -d /var/lib/etcd/member ]; then
    flock --wait=300 /run/lock/labctl-kubeadm timeout 180 kubeadm reset --force ${CRI_SOCKET:+--cri-socket="$CRI_SOCKET"} >&2 || failed=1
    gone "kubeadm"
fi
systemctl stop kubelet 2>/dev/null || true

for path in /etc/cni/net.d/10-labctl-bridge.conflist /etc/cni/net.d/10-calico.conflist /etc/cni/net.d/calico-kubeconfig \
    /etc/systemd/system/labctl-bridge-cni.service /etc/systemd/system/multi-user.target.wants/labctl-bridge-cni.service \
    /usr/local/sbin/labctl-bridge-cni /etc/kubernetes/labctl /etc/kubernetes/kubeadm-init.yml /run/labctl/kubeadm-join.yml \
    /var/lib/cni /var/lib/calico /var/run/calico /var/lib/etcd/member \
    ${NETWORK_FILES:-}; do
    [ ! -e "$path" ] && [ ! -L "$path" ] || { rm -rf "$path" && gone "$path"; }
done
systemctl daemon-reload

for link in cni0 tunl0 vxlan.calico kube-ipvs0 $(ls /sys/class/net | grep '^cali' || true); do
    [ -e "/sys/class/net/$link" ] || continue
    # tunl0 belongs to the kernel's module and stays, as it was before any tunnel
    [ "$link" != tunl0 ] || continue
    ip link delete "$link" && gone "link $link"
done
for protocol in 76 80; do
    ip -4 route show proto "$protocol" | while read -r network rest; do
        ip route del "$network" proto "$protocol" && gone "route to $network"
    done
done

for tables in "iptables" "ip6tables"; do
    command -v "$tables-save" >/dev/null || continue
    rules=$("$tables-save" 2>/dev/null) || continue
    echo "$rules" | grep -qE '^:(KUBE-|LABCTL-|cali-|CNI-)' || continue
    # Docker's rules stay: only chains of ours, and jumps to them, are left out
    echo "$rules" | grep -vE '^(:|-A )(KUBE-|LABCTL-|cali-|CNI-)| -j (KUBE-|LABCTL-|cali-|CNI-)' | "$tables-restore" -w 10 || failed=1
    gone "$tables rules"
done
exit "$failed"
