#!/usr/bin/env bash
# Tells stories to the room that decides a delivery (src/delivery/simulation), each from a seed of its own, optimised and on
# all cores, until it is stopped. It says every half minute how many there were; a story that fails is printed at once, in
# its shortest form, as a test to paste into src/delivery/simulation/rows.rs.
#
#   FAIRLEAD_SEED=7        one story, with all that happens in it
#   FAIRLEAD_STORIES=9999  so many, and no more
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo test --locked --profile fast --lib -- --ignored --nocapture --exact \
	delivery::simulation::stories::stories_without_end
