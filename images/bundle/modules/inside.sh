#!/bin/bash
# What needs a C compiler, built inside the build root: runc, for libseccomp, and pause. Arguments:
#   inside.sh GOROOT RUNC_DIR PAUSE_C PAUSE_VERSION OUTPUT_DIR
# RUNC_DIR is the pinned module with its dependencies in vendor/, so that nothing is fetched here.
set -euo pipefail

goroot=$1 runc=$2 pause=$3 version=$4 output=$5
export GOROOT=$goroot GOFLAGS=-mod=vendor GOTOOLCHAIN=local GOCACHE=/build/gocache CGO_ENABLED=1

mkdir -p "$output"
cd "$runc"
# Static, so that one program serves every distribution; without the tag `seccomp` every pod fails.
"$goroot/bin/go" build -buildvcs=false -trimpath -tags "seccomp netgo osusergo" \
    -ldflags "-s -w -extldflags -static -X main.version=$(sed -n 's#.*github.com/opencontainers/runc v##p' go.mod | head -1)" \
    -o "$output/runc" github.com/opencontainers/runc
gcc -Os -Wall -static -s -DVERSION="v$version" -o "$output/pause" "$pause"
