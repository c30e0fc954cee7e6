#!/usr/bin/env bash
# Keeps a control plane up until Ctrl-C, with charts/fairlead installed but for the pods, and prints how to reach it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh
# shellcheck source=make/controlplane.sh
source make/controlplane.sh

build_fairlead
need helm

work=$(mktemp -d)
trap 'stop_controlplane; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
start_controlplane --nodes 3
# Identities are named when there are any: --set does that, for whoever tries the chart's rights.
kubectl create namespace fairlead >/dev/null
env -i PATH="$PATH" HOME="$work" "$FAIRLEAD_HELM" template fairlead charts/fairlead --namespace fairlead --include-crds \
	--set replicas=0 --set "identities[0].namespace=fairlead,identities[0].name=deploy" >"$work/chart.yaml"
kubectl apply --server-side -f "$work/chart.yaml" >/dev/null
kubectl -n fairlead create serviceaccount deploy >/dev/null
kubectl wait --for condition=Established crd/environments.fairlead.dev --timeout 10s >/dev/null
agent_kubeconfig=$(dirname "$kubeconfig")/agent.kubeconfig
cp "$kubeconfig" "$agent_kubeconfig"
kubectl --kubeconfig "$agent_kubeconfig" config set-credentials agent \
	--token "$(kubectl -n fairlead create token fairlead --duration 48h)" >/dev/null
kubectl --kubeconfig "$agent_kubeconfig" config set-context --current --user agent >/dev/null

cat <<TEXT
A Kubernetes control plane runs on this machine, with three simulated nodes and what charts/fairlead installs: the CRD
and the agent's account with its rights. It may become the account fairlead/deploy, which may do nothing yet: what an
environment's account may do is the platform's to say (docs/environment.md).

  export KUBECONFIG=$kubeconfig
  kubectl get nodes

kubectl of the same version, should you need one: $FAIRLEAD_KUBECTL
The agent, as you: $fairlead agent --kubeconfig $kubeconfig --git-folders
The agent, with the rights of the chart: $fairlead agent --kubeconfig $agent_kubeconfig --git-folders

Ctrl-C stops it; nothing stays.
TEXT
wait "$controlplane_pid" || true
