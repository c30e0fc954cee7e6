#!/usr/bin/env bash
# Fuzzes the rooms that read what others wrote: YAML, kustomizations, both kinds of patches, what helm answers, and packs of
# git. Each target runs for FAIRLEAD_FUZZ seconds (60 where it is not given), begins with the cases of the tests and with what
# earlier runs found, and fails at a panic, at 10 s for one input, and at 1 GiB of memory.
#
#   make fuzz ONLY=yaml          one target
#   FAIRLEAD_FUZZ=3600 make fuzz
#
# It is libFuzzer, built by the stable compiler with the coverage that cargo-fuzz would ask for; with a nightly one
# `cargo fuzz run yaml` adds an address sanitizer. What is found lies in the cache folder, and its path is printed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/checks.sh
source make/checks.sh

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fairlead
work=$cache/fuzz
seconds=${FAIRLEAD_FUZZ:-60}
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$work/target
# As cargo-fuzz has it, without a sanitizer, which only a nightly compiler takes.
coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4'
coverage+=' -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table'
coverage+=' -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing'

# seeds TARGET FOLDER writes what the tests know already, in the form that the target reads.
seeds() {
	local target=$1 into=$2 tree file n=0
	mkdir -p "$into"
	case $target in
	yaml | chart)
		while read -r file; do
			cp "$file" "$into/seed-$((n += 1))"
		done < <(git ls-files 'tests/render/*.yaml' 'tests/yaml/*.txt' 'charts/*.yaml' | head -400)
		;;
	kustomization)
		for tree in tests/render/*/tree; do
			n=$((n + 1))
			(cd "$tree" && find . -type f -size -16k | sort | while read -r file; do
				printf '=== %s\n' "${file#./}"
				cat "$file"
				echo
			done) >"$into/seed-$n"
		done
		;;
	*)
		for file in fuzz/seeds/"$target"/*; do
			cp "$file" "$into/seed-$((n += 1))"
		done
		;;
	esac
	# Without any it would begin from nothing, and find next to nothing.
	((n > 0))
}

fuzz() {
	local target=$1 corpus=$work/corpus/$1 found=$work/found/$1/
	rm -rf "$work/seeds/$target"
	seeds "$target" "$work/seeds/$target" || return
	mkdir -p "$corpus" "$found"
	"$CARGO_TARGET_DIR/$host/release/$target" "$corpus" "$work/seeds/$target" \
		-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
		-artifact_prefix="$found" -print_final_stats=1 -verbosity=0
}

RUSTFLAGS=$coverage cargo build --locked --release --quiet --manifest-path fuzz/Cargo.toml --target "$host"
for target in yaml kustomization json_patch strategic_merge chart pack; do
	[[ -z ${ONLY:-} || $target == *"$ONLY"* ]] || continue
	check "$target" fuzz "$target"
done
conclude 'fuzz: '
