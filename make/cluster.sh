#!/usr/bin/env bash
# Keeps a control plane up until Ctrl-C, with the CRD installed, and prints how to reach it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh
# shellcheck source=make/controlplane.sh
source make/controlplane.sh

build_fairlead

trap stop_controlplane EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
start_controlplane --nodes 3
"$fairlead" crd | kubectl apply --server-side -f - >/dev/null
kubectl create namespace fairlead >/dev/null # Of the agent's Leases.
kubectl wait --for condition=Established crd/environments.fairlead.dev --timeout 10s >/dev/null

cat <<TEXT
A Kubernetes control plane runs on this machine, with three simulated nodes and the Environment CRD.

  export KUBECONFIG=$kubeconfig
  kubectl get nodes

kubectl of the same version, should you need one: $FAIRLEAD_KUBECTL
The agent: $fairlead agent --kubeconfig $kubeconfig

Ctrl-C stops it; nothing stays.
TEXT
wait "$controlplane_pid" || true
