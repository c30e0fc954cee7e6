#!/usr/bin/env bash
# Measures rollouts beside `kubectl apply --server-side` and a bare client, in one run on one machine; writes a table and
# JSON. `FAIRLEAD_BENCH=configmaps-1k make bench` runs one workload, `FAIRLEAD_BENCH=apps` many apps of four objects
# (`apps-1000` one size), `FAIRLEAD_BENCH=drift` edits by hand of 10,000 objects and the records of them (`drift-200` for 200
# objects and no records), `FAIRLEAD_BENCH=render` what needs no cluster: renders beside `kustomize build`, and inside the
# agent.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh

out=${FAIRLEAD_BENCH_OUT:-$cache/bench}
mkdir -p "$out"
FAIRLEAD_BENCH=${FAIRLEAD_BENCH:-all} FAIRLEAD_BENCH_OUT=$out cargo bench --locked --bench bench
if [[ ${FAIRLEAD_BENCH:-all} == drift ]]; then
	need postgres
	# Records: in PostgreSQL ten million, or as many as FAIRLEAD_RECORDS says; in a file a hundredth of that.
	cargo test --release --locked --test history -- --ignored --nocapture --test-threads 1 many_records |
		tee "$out/records.txt"
fi
echo "written to $out/bench.json and $out/bench.md"
