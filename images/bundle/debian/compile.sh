#!/bin/bash
# Compile Kubernetes from Debian's source package. Runs inside the build root; arguments:
#   compile.sh SOURCE_DIR OUTPUT_DIR VERSION PROGRAMS_DIR
# PROGRAMS_DIR holds labctl's own small Go programs, which may use what Kubernetes carries in vendor/.
# The upstream `make all` first builds and runs six code generators whose results are already in the
# tree; only the OpenAPI definitions are missing there. So this script generates those alone and then
# lets one `go build` schedule all packages of all commands, which keeps every core busy.
set -euo pipefail

source=$1 output=$2 version=$3 programs=$4
package=k8s.io/kubernetes

# From Go 1.18 on the vendored reflect2 crashes kubeadm and the kubelet in their JSON encoder; Debian
# packages the release that knows the newer runtime.
rm -rf "$source/vendor/github.com/modern-go/reflect2"
cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 "$source/vendor/github.com/modern-go/reflect2"

export GOPATH=/build/go GO111MODULE=off CGO_ENABLED=0 GOCACHE=/build/gocache GOFLAGS=
# The compiler's garbage collector costs a fifth of the time; where memory allows, let it rest.
if [ "$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)" -ge 7 ]; then export GOGC=400; fi
mkdir -p "$GOPATH/src/k8s.io" "$output"
ln -sfn "$source" "$GOPATH/src/$package"
cd "$GOPATH/src/$package"

flags=()
for target in vendor/k8s.io/client-go/pkg/version vendor/k8s.io/component-base/version; do
    flags+=("-X $package/$target.gitVersion=v$version")
    flags+=("-X $package/$target.gitMajor=$(echo "$version" | cut -d. -f1)")
    flags+=("-X $package/$target.gitMinor=$(echo "$version" | cut -d. -f2)")
    flags+=("-X $package/$target.gitTreeState=archive")
    flags+=("-X $package/$target.buildDate=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)")
done
build() { # OUTPUT PACKAGE...
    local to=$1
    shift
    # No debug information: -w drops it when linking, so the compiler need not make it either.
    # providerless is upstream's own tag for a Kubernetes without the cloud SDKs of Amazon, Azure, Google and VMware:
    # a lab has none of these clouds, and they are a third of the time and a quarter of the size.
    go build -o "$to" -tags providerless -gcflags "$package/...=-dwarf=false" -ldflags "-s -w ${flags[*]}" "$@"
}

echo "== openapi"
go build -o /build/openapi-gen "$package/vendor/k8s.io/kube-openapi/cmd/openapi-gen"
generate() {
    local inputs
    inputs=$(grep -Rl --include='*.go' '^// *+k8s:openapi-gen=' cmd pkg plugin vendor/k8s.io |
        grep -Ev '^vendor/k8s.io/(code-generator|sample-apiserver|sample-controller|sample-cli-plugin)/|/testdata/|^vendor/k8s.io/(gengo|kube-openapi)/' |
        xargs -n1 dirname | LC_ALL=C sort -u | sed "s|^|$package/|" | paste -sd,)
    /build/openapi-gen --logtostderr -i "$inputs" -p "$package/pkg/generated/openapi" -O zz_generated.openapi \
        -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r /build/openapi-violations
}
generate &
generator=$!

echo "== node"
build "$output/" "$package"/cmd/{kubeadm,kubelet,kubectl,kube-proxy,kube-scheduler,kube-controller-manager}
wait "$generator"
echo "== kube-apiserver"
build "$output/" "$package/cmd/kube-apiserver"
echo "== programs"
rm -rf labctl
cp -r "$programs" labctl
for program in labctl/*/; do build "$output/" "$package/${program%/}"; done
echo "== done"
