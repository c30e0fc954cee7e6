#!/usr/bin/env bash
# Breaks each guarantee on purpose and looks whether its test notices. Each patch in tests/sabotage says above its first
# hunk what it breaks:
#
#   Guarantee: 2
#   Test: lib plan::prune::tests::nothing_goes_without_all_the_evidence
#   Breaks: what an app that cannot be rendered may have taken is deleted.
#
# where a test is of the target lib, it, git or architecture. First each named test has to be green; then each patch is
# applied in turn, and its test alone has to turn red. `make/sabotage.sh check` only sees whether the patches still apply,
# name tests that exist, and cover every guarantee that is there. `make sabotage ONLY=watch` takes those of that name.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/checks.sh
source make/checks.sh

patches=(tests/sabotage/*.patch)

# header NAME PATCH prints what the patch says under this name; nothing where it does not.
header() { sed -n -e '/^diff /q' -e "s/^$1: *//p" "$2"; }

applies() {
	local patch target test status=0
	for patch in "${patches[@]}"; do
		if ! git apply --check "$patch"; then
			echo "$patch does not apply: bring it up to date with what it breaks"
			status=1
		fi
		[[ -n $(header Breaks "$patch") ]] || {
			echo "$patch does not say what it breaks"
			status=1
		}
		read -r target test <<<"$(header Test "$patch")"
		if [[ ! $target =~ ^(lib|it|git|architecture)$ ]]; then
			echo "$patch names no target of cargo test: ${target:-nothing}"
			status=1
		elif ! grep -rqE "fn ${test##*::}\(" src tests --include='*.rs'; then
			echo "$patch names a test that does not exist: $test"
			status=1
		fi
	done
	return "$status"
}

# Rows of the table of docs/guarantees.md: those that do not begin with "not yet" are there, wholly or in part.
covered() {
	local number status=0
	while read -r number; do
		if ! grep -lqE "^Guarantee: $number\$" "${patches[@]}"; then
			echo "guarantee $number has no patch in tests/sabotage"
			status=1
		fi
	done < <(sed -nE '/\| not yet[^|]*\|$/!s/^\| ([0-9]+) \|.*/\1/p' docs/guarantees.md)
	return "$status"
}

if [[ ${1:-} == check ]]; then
	applies && covered
	exit
fi

# shellcheck source=make/tools.sh
source make/tools.sh
need helm moto
# A checkout and a target folder of its own: what is being worked on is left alone, and only what a patch touches is
# built again.
tree=$cache/sabotage/tree
export CARGO_TARGET_DIR=$cache/sabotage/target
export CARGO_INCREMENTAL=1
# One after the other: two would break each other's checkout.
mkdir -p "$cache/sabotage"
exec 9>"$cache/sabotage/lock"
flock -n 9 || {
	tell "another make sabotage is running"
	exit 1
}
# snapshot prints a commit of everything as it lies here, committed or not. The index of whoever works here stays as it is.
snapshot() {
	local index
	index=$(mktemp -u)
	GIT_INDEX_FILE=$index git read-tree HEAD
	GIT_INDEX_FILE=$index git add --all
	git -c user.name=sabotage -c user.email=sabotage@localhost \
		commit-tree -p HEAD -m 'What is sabotaged' "$(GIT_INDEX_FILE=$index git write-tree)"
	rm -f "$index"
}
base=$(snapshot)
forget() { git worktree remove --force "$tree" 2>/dev/null || rm -rf "$tree"; }
forget
trap 'forget; git worktree prune' EXIT
git worktree prune
git worktree add --quiet --detach "$tree" "$base"

run() { # TARGET TEST... runs these and no others.
	local target=$1
	shift
	local where=(--test "$target")
	[[ $target == lib ]] && where=(--lib)
	(cd "$tree" && timeout 600 cargo test --locked --quiet "${where[@]}" -- --exact "$@" 9>&-) 2>&1
}
build() { # TARGET
	local where=(--test "$1")
	[[ $1 == lib ]] && where=(--lib)
	(cd "$tree" && cargo test --locked --quiet --no-run "${where[@]}" 9>&-) 2>&1
}

chosen=()
for patch in "${patches[@]}"; do
	[[ $patch == *"${ONLY:-}"* ]] && chosen+=("$patch")
done
((${#chosen[@]} > 0)) || {
	tell "no patch in tests/sabotage has a name with ${ONLY:-}"
	exit 1
}

echo '== green without a patch'
for target in lib architecture git it; do
	mapfile -t tests < <(for patch in "${chosen[@]}"; do header Test "$patch"; done | sed -n "s/^$target //p" | sort -u)
	((${#tests[@]} > 0)) || continue
	begin=$SECONDS
	if ! output=$(run "$target" "${tests[@]}") || ! grep -q " ${#tests[@]} passed; 0 failed; 0 ignored" <<<"$output"; then
		printf '%s\n' "$output" | tail -n 60
		printf 'FAIL  %s: not all of %s are green without a patch\n' "$target" "${tests[*]}"
		failed=$((failed + 1))
	else
		printf 'ok    %s: %d tests (%d s)\n' "$target" "${#tests[@]}" $((SECONDS - begin))
	fi
done
((failed == 0)) || {
	conclude 'sabotage: ' || exit 1
}

echo '== red with it'
for patch in "${chosen[@]}"; do
	name=$(basename "$patch" .patch)
	read -r target test <<<"$(header Test "$patch")"
	begin=$SECONDS
	if ! output=$(git -C "$tree" apply "$PWD/$patch" 2>&1); then
		why="it does not apply"
	elif ! output=$(build "$target"); then
		why="it does not build"
	elif output=$(run "$target" "$test"); then
		why="$test stays green"
	elif ! grep -qE '^test result: FAILED\. 0 passed; 1 failed' <<<"$output"; then
		why="$test did not come to an end"
	else
		why=''
	fi
	if [[ -z $why ]]; then
		passed=$((passed + 1))
		printf 'ok    %s: %s turned red (%d s)\n' "$name" "$test" $((SECONDS - begin))
	else
		failed=$((failed + 1))
		printf '%s\n' "$output" | tail -n 30
		printf 'FAIL  %s: %s (%d s)\n' "$name" "$why" $((SECONDS - begin))
	fi
	git -C "$tree" checkout --quiet -- .
done
conclude 'sabotage: '
