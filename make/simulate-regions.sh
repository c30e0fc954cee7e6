#!/usr/bin/env bash
# Runs the regions of an environment against each other (src/region/simulation), each story from a seed of its own, on all
# cores. A story that fails is printed at once, in its shortest form, as a test to paste into
# src/region/simulation/rows.rs.
#
#   make/simulate-regions.sh          until it is stopped; it says every half minute how many there were
#   make/simulate-regions.sh 100000   so many: some minutes
#   FAIRLEAD_SEED=7                   one story, with all that happens in it; with a number, that many from this seed on
#
# Only the room is built for it, optimised.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=(cargo rustc --locked --quiet --test regions --profile test --message-format=json-render-diagnostics)
# The binary of fairlead is built for every test, and may come last.
binary=$("${build[@]}" -- -C opt-level=2 | sed -n '/"name":"regions"/s/.*"executable":"\([^"]*\)".*/\1/p')
# shellcheck disable=SC2086 # nothing is no argument
exec "$binary" ${1:-${FAIRLEAD_STORIES:-}}
