#!/usr/bin/env bash
# Everything that can go wrong between the agent and its API server or its remotes, at every place: tests/it/matrix tells
# one story with a fault at each of its requests, in each way in which a request fails. About an hour on two cores.
#
#   FAIRLEAD_SEED=7            only the few that `make test` takes with this seed, which it prints
#   FAIRLEAD_FAULT='Write 12'  only those whose name holds this, as they are printed: class, number, what is done
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh
# shellcheck source=make/checks.sh
source make/checks.sh
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-6}

# told COMMAND... shows what it prints and counts its stories, one on each line; one that is not told to its end counts
# as failed, whatever else is printed.
told() {
	local log status=0 good bad
	log=$(mktemp)
	"$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
	good=$(grep -c '^ok    ' "$log" || true)
	bad=$(grep -c '^FAIL  ' "$log" || true)
	rm -f "$log"
	if ((status != 0 && bad == 0)) || ((good + bad == 0)); then
		bad=$((bad + 1))
		echo "FAIL  the stories: they ended with $status"
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
}
stories() { cargo test --locked --test it -- --include-ignored --nocapture --exact "$1"; }

some=matrix::with_a_fault_at_any_request_the_end_is_that_of_the_reference
every=matrix::with_every_fault_at_every_request_the_end_is_that_of_the_reference
if [[ -n ${FAIRLEAD_SEED:-} ]]; then
	told stories "$some"
elif [[ -n ${FAIRLEAD_FAULT:-} ]]; then
	told stories "$every"
else
	run_and_count 'the server, in other ways' cargo test --locked --no-fail-fast --test it -- \
		--include-ignored faults:: watches:: kill::
	run_and_count 'git' cargo test --locked --no-fail-fast --test it -- source::
	run_and_count 'git, by itself' cargo test --locked --no-fail-fast --test git
	printf '\n== every fault at every request\n'
	told stories "$every"
fi
echo
conclude 'faults: '
