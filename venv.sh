# Sourced by ./labctl and ./test: make the private .venv on first use, and again when its inputs change.
# Callers set $here (the checkout) and call `ensure_venv EXTRAS ARGUMENTS...`.

fail() {
    printf 'labctl: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  fix: %s\n' "$2" >&2
    exit 3
}

find_python() {
    for candidate in "${LABCTL_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and was not found" "install python3 (Debian 12, Ubuntu 24.04, Fedora and newer have it), or set LABCTL_PYTHON"
}

install_venv_module() {
    agreed=no
    for argument in "$@"; do [ "$argument" = --yes ] && agreed=yes; done
    command="apt-get install -y python3-venv"
    if [ "$agreed" = yes ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        printf 'labctl: installing python3-venv with apt-get (because of --yes)\n' >&2
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive $command -qq >/dev/null; } || fail "apt-get could not install python3-venv" "$command"
    else
        fail "this Python has no venv module, which labctl's private environment needs" "$command   (or run labctl as root with --yes)"
    fi
}

make_venv() {
    extras=$1
    shift
    python=$(find_python) || exit 3
    "$python" -c 'import venv, ensurepip' 2>/dev/null || install_venv_module "$@"
    printf 'labctl: preparing its Python environment in %s (once, about a minute)\n' "$here/.venv" >&2
    rm -f "$here"/.venv/.labctl-*
    log=$here/.venv/install.log
    "$python" -m venv "$here/.venv" >/dev/null || fail "could not make $here/.venv" "rm -rf $here/.venv, then run this again"
    # Byte-compiling everything costs more than the few modules that are ever imported.
    "$here/.venv/bin/python" -m pip install --disable-pip-version-check --no-compile -q \
        -c "$here/constraints.txt" -e "$here$extras" >"$log" 2>&1 ||
        { tail -n 3 "$log" >&2; fail "pip could not install the pinned dependencies (log: $log)" "check pip's package index or proxy, then run this again"; }
}

ensure_venv() {
    extras=$1
    shift
    stamp=$here/.venv/.labctl-installed$extras
    want=$(cat "$here/pyproject.toml" "$here/constraints.txt" | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
    # Two commands started together must not build the same environment at once.
    exec 9<"$here/venv.sh"
    ! command -v flock >/dev/null || flock 9
    if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
        make_venv "$extras" "$@"
        printf '%s\n' "$want" >"$stamp"
        # The larger set contains the smaller one.
        printf '%s\n' "$want" >"$here/.venv/.labctl-installed"
    fi
    exec 9<&-
}
