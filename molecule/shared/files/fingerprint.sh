# fingerprint.sh record|converged|check: record the files of a bare node, then compare: check mode must leave them as
# recorded last; the first real run records them as converged, and every later one must leave them so.
set -eu
export LC_ALL=C
store=/run/molecule # a tmpfs: not among what is compared
mkdir -p $store

snapshot() {
    # A directory by its mode alone: its time changes when a file in it is replaced by the same.
    find /etc /usr /opt /srv /home /root /var/lib/labctl -mindepth 1 \
        \( -type f -printf '%p %m %U %s %T@\n' -o -type l -printf '%p -> %l\n' -o -printf '%p %m %U\n' \) || true
    find /etc -type f -size -1000k -exec sha256sum {} + || true
    sha256sum /var/lib/kubelet/config.yaml /var/lib/dpkg/status /var/lib/rpm/rpmdb.sqlite || true
}

# Without Ansible's own files, ssh's, and what services write for themselves.
snapshot 2>/dev/null | grep -vF -e .ansible -e .bash_history -e .cache -e .kube/cache -e __pycache__ \
    -e /etc/cni/net.d/. -e /etc/resolv.conf. | sort >$store/now

if [ "$1" = record ]; then
    mv $store/now $store/bare
elif [ "$1" = converged ] && [ ! -e $store/converged ]; then
    mv $store/now $store/converged
else
    last=$store/bare
    [ ! -e $store/converged ] || last=$store/converged
    diff $last $store/now | grep '^[<>]' | head -n 20 >&2
    cmp $last $store/now
fi
