#!/usr/bin/env bash
# Tells stories to the room that decides a delivery (src/delivery/simulation), each from a seed of its own, on all cores. A
# story that fails is printed at once, in its shortest form, as a test to paste into src/delivery/simulation/rows.rs.
#
#   make/simulate.sh         until it is stopped; it says every half minute how many there were
#   make/simulate.sh 20000   so many
#   FAIRLEAD_STORIES=20000   the same, for `make simulate`
#   make/simulate.sh secrets 5000   so many of what decides about secrets (src/secrets/simulation) instead
#   FAIRLEAD_SEED=7          one story, with all that happens in it; where a number is given, that many from this seed on
#
# Only the rooms that decide are built for it, optimised; what they stand on is that of every other test.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=(cargo rustc --locked --quiet --test simulation --profile test --message-format=json-render-diagnostics)
# The binary of fairlead is built for every test, and may come last.
binary=$("${build[@]}" -- -C opt-level=2 | sed -n '/"name":"simulation"/s/.*"executable":"\([^"]*\)".*/\1/p')
# shellcheck disable=SC2206 # nothing is no argument
arguments=("$@" ${FAIRLEAD_STORIES:-})
exec "$binary" "${arguments[@]}"
