#!/usr/bin/env bash
# Writes make/hot.ld: which functions a short command runs through, so that the linker puts them side by side (see
# docs/decisions/0014). Needs valgrind. A list that has grown old does no harm, it only helps less.
set -euo pipefail
cd "$(dirname "$0")/.."
source make/tools.sh
if ! command -v valgrind >/dev/null; then
	echo "valgrind is missing; install it first: sudo apt-get install valgrind" >&2
	exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# What the benchmarks run is built with the features that tests want of shared crates, so its names have other hashes.
cargo bench --locked --bench bench --no-run
cp "$CARGO_TARGET_DIR/release/fairlead" "$scratch/measured"
cargo build --locked --release
cp "$CARGO_TARGET_DIR/release/fairlead" "$scratch/shipped"

# The functions of a run, by the names of their symbols.
run() {
	valgrind --tool=callgrind --demangle=no --compress-strings=no --callgrind-out-file="$scratch/out" \
		"$binary" "$@" >/dev/null 2>&1 || true
	sed -n "s/^fn=//p" "$scratch/out" | sed "s/'[0-9]*$//" | grep -v '^0x\|^(' | LC_ALL=C sort -u
}

# Enough objects for several threads.
mkdir -p "$scratch/base" "$scratch/overlay"
for n in {1..40}; do
	sed "s/^  name: notejam/&-$n/" base/notejam/deployment.yaml >"$scratch/base/deployment-$n.yaml"
	sed "s/^  name: notejam/&-$n/" base/notejam/configmap.yaml >"$scratch/base/configmap-$n.yaml"
done
{
	echo 'resources:'
	printf -- '- %s\n' "$scratch"/base/*-*.yaml | sed 's|/.*/||'
} >"$scratch/base/kustomization.yaml"
cat >"$scratch/overlay/kustomization.yaml" <<-'EOF'
	resources: [../base]
	namespace: hot
	labels:
	- pairs: {team: hot}
	  includeSelectors: true
	images:
	- {name: notejam, newTag: "2"}
	patches:
	- target: {kind: Deployment}
	  patch: |-
	    - {op: add, path: /spec/replicas, value: 3}
	- target: {kind: Deployment, name: .*-1.*}
	  patch: |-
	    apiVersion: apps/v1
	    kind: Deployment
	    metadata: {name: any}
	    spec: {template: {spec: {containers: [{name: notejam, tty: true}]}}}
	- patch: |-
	    apiVersion: apps/v1
	    kind: Deployment
	    metadata: {name: notejam-7}
	    spec: {replicas: 5}
EOF

symbols() { nm --defined-only "$1" | awk '$2 ~ /^[tTwW]$/ { print $3 }'; }
{
	for binary in "$scratch/shipped" "$scratch/measured"; do
		run render "$scratch/overlay"
	done
	binary=$scratch/shipped
	run render overlays/production/notejam
} | awk '!seen[$0]++' >"$scratch/names"

# Hashes change with features and versions, and LLVM numbers what it makes visible across its units by its content. So
# functions go by their names without these, but for generic ones of the standard library, of which there are hundreds:
# of those the very ones come first, if they are still called so, and the others of their name after them.
{
	echo '/* Written by make/hot.sh: what a short command runs through, side by side. */'
	echo 'SECTIONS { .text.hot : {'
	{
		symbols "$scratch/shipped" | sed 's/^/all /'
		symbols "$scratch/measured" | sed 's/^/all /'
		sed 's/^/hot /' "$scratch/names"
	} | awk '
		{
			exact = $2
			sub(/\.llvm\.[0-9]+$/, "", exact)
			name = exact
			sub(/17h[0-9a-f]+E$/, "17h*", name)
		}
		$1 == "all" { if (!known[$2]++) { count[name]++; is[exact] = 1 } }
		$1 == "hot" && is[exact] {
			if (count[name] > 20) { if (!said[exact]++) many[++last] = exact; again[name] = 1 }
			else if (!said[name]++) print name
		}
		END {
			for (n = 1; n <= last; n++) print many[n] "*"
			for (name in again) print name
		}' | sed -E '
			/^_[ZR]/ { s/\*?$//; s/.*/*(.text.&* .text.unlikely.&*)/; b }
			s/.*/*(.text.& .text.unlikely.& .text.startup.& .text.exit.&)/'
	echo '} } INSERT BEFORE .text;'
} >make/hot.ld
echo "make/hot.ld has $(grep -c '^\*' make/hot.ld) names"
