#!/usr/bin/env bash
# Builds the test bed's binary into the cache, unless it is there already, and
# prints its path as the only line on stdout. Beside it is a link named kubectl.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

kubernetes=$(sed -n 's|^[[:space:]]*k8s.io/kubernetes v||p' go.mod)
hash=$(
	{
		find . -name '*.go' -o -name go.mod -o -name go.sum
		echo ./build.sh
	} | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16
)
root="${XDG_CACHE_HOME:-$HOME/.cache}/fairlead/controlplane"
binary="$root/$hash/controlplane"

if [[ ! -x $binary ]]; then
	mkdir -p "$root"
	# Two callers at once must not both build: the second one waits here.
	exec 9>"$root/lock"
	flock 9
	if [[ ! -x $binary ]]; then
		echo "building the control plane (minutes the first time, then seconds)" >&2
		mkdir -p "$root/$hash"
		rm -f "$root/$hash"/.building.*
		x=k8s.io/component-base/version
		ldflags="-s -w"
		for pair in gitVersion=v"$kubernetes" gitMajor="${kubernetes%%.*}" \
			gitMinor="$(cut -d. -f2 <<<"$kubernetes")" gitTreeState=clean \
			gitCommit=none buildDate=2026-01-01T00:00:00Z; do
			ldflags+=" -X $x.$pair"
		done
		# The caller's GOFLAGS must not change what is built (-mod, -tags, -race).
		GOFLAGS='' GOWORK=off go build -buildvcs=false -mod=readonly \
			-ldflags "$ldflags" -o "$root/$hash/.building.$$" . >&2
		ln -sf controlplane "$root/$hash/kubectl"
		mv "$root/$hash/.building.$$" "$binary"
		# Another checkout may be using its own: only what was not used for an hour goes.
		for old in "$root"/*/; do
			if [[ -z $(find "$old" -name controlplane -mmin -60) && ${old%/} != "$root/$hash" ]]; then
				rm -rf -- "$old"
			fi
		done
	fi
fi
touch -c "$binary"
printf '%s\n' "$binary"
