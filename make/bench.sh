#!/usr/bin/env bash
# Measures rollouts beside `kubectl apply --server-side` and a bare client, in one run on one machine; writes a table and
# JSON. `FAIRLEAD_BENCH=configmaps-1k make bench` runs one workload, `FAIRLEAD_BENCH=apps` many apps of four objects
# (`apps-1000` one size), `FAIRLEAD_BENCH=render` what needs no cluster: renders beside `kustomize build`, and inside the
# agent.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh

out=${FAIRLEAD_BENCH_OUT:-$cache/bench}
mkdir -p "$out"
FAIRLEAD_BENCH=${FAIRLEAD_BENCH:-all} FAIRLEAD_BENCH_OUT=$out cargo bench --locked --bench bench
echo "written to $out/bench.json and $out/bench.md"
