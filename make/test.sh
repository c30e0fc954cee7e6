#!/usr/bin/env bash
# Every test, its needs installed; ends with a line that counts what ran. `make/test.sh style` is the first part alone.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh
# shellcheck source=make/checks.sh
source make/checks.sh

scripts() { git ls-files -z -- '*.sh' .ci/run | xargs -0 shellcheck -x; }
formatted_go() {
	local files
	files=$(gofmt -l tests/controlplane)
	[[ -z $files ]] || {
		echo "not formatted: $files"
		return 1
	}
}
vetted_go() { (cd tests/controlplane && GOFLAGS='' GOWORK=off go vet ./...); }

# What depends on what, against deny.toml. The tool takes minutes to build, and known advisories come from the network: where
# either is missing this says so, and fails nothing.
dependencies() {
	local deny=$bin/cargo-deny
	if [[ ! -x $deny ]]; then
		echo "skip  cargo deny: it is not installed (\`make deny\` does that)"
		return
	fi
	check 'cargo deny: licences, bans, sources' "$deny" --all-features check bans licenses sources
	if timeout 60 "$deny" fetch db >/dev/null 2>&1; then
		check 'cargo deny: advisories' "$deny" --all-features check --disable-fetch advisories
	else
		echo 'skip  cargo deny: the database of advisories cannot be had'
	fi
}

echo '== style'
check 'cargo fmt' cargo fmt --check -- --files-with-diff
check 'cargo clippy' cargo clippy --locked --quiet --all-targets -- -D warnings
check 'shellcheck' scripts
check 'gofmt' formatted_go
check 'go vet' vetted_go
check 'sabotage applies' make/sabotage.sh check
if [[ ${1:-} == style ]]; then
	conclude 'style: '
	exit
fi
echo
echo '== dependencies'
dependencies
# One of the tools that deployed what an environment takes over; what stands in for AWS; a database of the history; what
# shows comments; and what describes the API that they are written by.
need helm moto postgres gfm github
# Most tests of the whole agent wait; two threads, the default on two cores, would leave the machine idle.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-6}
run_and_count 'cargo test' cargo test --locked --no-fail-fast
# From a seed of which all are known to hold, half a minute on two quiet cores: a story that fails once in a hundred thousand
# would stop everybody. `make simulate` takes others.
run_and_count 'stories' env FAIRLEAD_SEED="${FAIRLEAD_SEED:-500000}" make/simulate.sh 20000
run_and_count 'secrets' env FAIRLEAD_SEED="${FAIRLEAD_SEED:-0}" make/simulate.sh secrets 8000
# From a seed, so that each run tells the same; `make simulate-regions` takes any.
run_and_count 'regions' env FAIRLEAD_SEED="${FAIRLEAD_SEED:-0}" make/simulate-regions.sh 2000
run_and_count 'control plane' tests/controlplane/smoke.sh
run_and_count 'chart' make/chart.sh
# Whether anything can be measured, not what: a benchmark that nobody runs for a while stops working unnoticed.
check 'bench' env FAIRLEAD_BENCH=smoke FAIRLEAD_BENCH_OUT="$(mktemp -d)" cargo bench --locked --quiet --profile dev --bench bench
echo
conclude 'tests: '
