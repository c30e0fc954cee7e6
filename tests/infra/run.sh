#!/usr/bin/env bash
# Judges the infra tree: every environment is valid, agrees with kustomize, is what its Role allows, and is taken by a real API
# server under the restricted level; charts make what bases make; alerts fire. `make infra-test` runs it. FAIRLEAD=... names a
# built program, so that none is built; ONLY=... takes parts by name.
set -euo pipefail

cd "$(dirname "$0")/../.."
# shellcheck source=make/tools.sh
source make/tools.sh
need helm promtool kubeconform kube-score checkov trivy definitions postgres moto
# shellcheck source=make/checks.sh
source make/checks.sh
# shellcheck source=make/controlplane.sh
source make/controlplane.sh
# shellcheck source=make/moto.sh
source make/moto.sh
# shellcheck source=tests/infra/trees.sh
source tests/infra/trees.sh
# shellcheck source=tests/infra/server.sh
source tests/infra/server.sh
# shellcheck source=tests/infra/up.sh
source tests/infra/up.sh
# shellcheck source=tests/infra/commands.sh
source tests/infra/commands.sh
# shellcheck source=tests/infra/moving.sh
source tests/infra/moving.sh
# shellcheck source=tests/infra/alerts.sh
source tests/infra/alerts.sh
# shellcheck source=tests/infra/charts.sh
source tests/infra/charts.sh
# shellcheck source=tests/infra/judges.sh
source tests/infra/judges.sh

if [[ -n ${FAIRLEAD:-} ]]; then fairlead=$FAIRLEAD; else build_fairlead; fi
export FAIRLEAD=$fairlead
work=$(mktemp -d)
close() {
	local status=$? pid
	trap - EXIT
	for pid in $agent_pid $world_pid; do kill "$pid" 2>/dev/null || true; done
	stop_moto
	stop_controlplane
	rm -rf "$work"
	exit "$status"
}
trap close EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Reads YAML; checkov brings it along.
python=$(dirname "$FAIRLEAD_CHECKOV")/python

mapfile -t environments < <(find environments -name environment.yaml -printf '%h\n' | sed 's|.*/||' | sort)
render_all
for part in ${ONLY:-trees alerts charts judges server up moving}; do
	"$part"
done
echo
conclude 'infra: '
