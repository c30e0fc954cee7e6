#!/usr/bin/env bash
# shellcheck disable=SC2154 # work, fairlead and failed are those of the script that sources this.
# Sourced by make/demo.sh and make/chart.sh: the stage that they play on. A cluster, a git remote made of this repository's own tree,
# an environment with an identity of its own, and the agent; and how all of that is taken down again.

HOME_NAMESPACE=fairlead-demo
NAMESPACE=notejam-dev
ENVIRONMENT=dev
# The preview of the demo's pull request, and the rights of the account that writes it.
PREVIEW=preview-dev-6
PREVIEWS=fairlead-demo-previews
IDENTITY=system:serviceaccount:$HOME_NAMESPACE:deploy-dev

# shellcheck source=make/moto.sh
source make/moto.sh

agent_pid=''
audit=''
created=()

# open_stage: a control plane of our own, or the cluster of DEMO_KUBECONFIG after asking.
open_stage() {
	if [[ -z ${DEMO_KUBECONFIG:-} ]]; then
		audit=$work/audit.log
		start_controlplane --nodes 3 --audit-log "$audit"
		tell "A Kubernetes control plane runs on this machine, with three simulated nodes."
		return
	fi
	kubeconfig=$DEMO_KUBECONFIG
	local context server
	context=$(kubectl config current-context)
	server=$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
	tell "This will be done in the cluster of the context $context ($server):"
	tell "  the CustomResourceDefinition environments.fairlead.dev, if it is not there"
	tell "  the Environment $ENVIRONMENT"
	tell "  the namespace $HOME_NAMESPACE with the ServiceAccounts deploy-dev and previews"
	tell "  the ClusterRole $PREVIEWS and a ClusterRoleBinding for the latter; for a while the Environment and namespace $PREVIEW"
	tell "  the namespace $NAMESPACE with a Role and a RoleBinding for it, and the application notejam:"
	tell "    a Deployment of two small pods (nginxinc/nginx-unprivileged), a Service, a ConfigMap, a Secret and what goes with"
	tell "    them, a PostgreSQL and a Redis of one small pod each, which keep nothing"
	tell "The agent runs on this machine, as the user of that kubeconfig. All of this is removed at the end."
	if [[ -z ${CI:-} ]]; then
		local answer=''
		read -r -p 'Go on? [y/N] ' answer || true
		[[ $answer == [yY]* ]] || { tell 'Nothing was done.' && exit 1; }
	fi
	local there
	there=$(kubectl get "namespace/$HOME_NAMESPACE" "namespace/$NAMESPACE" "namespace/$PREVIEW" "clusterrole/$PREVIEWS" \
		"clusterrolebinding/$PREVIEWS" --ignore-not-found -o name)
	if kubectl get crd environments.fairlead.dev >/dev/null 2>&1; then
		there+=$(kubectl get environment "$ENVIRONMENT" --ignore-not-found -o name)
	fi
	if [[ -n $there ]]; then
		tell "This is there already, and is not touched: ${there//$'\n'/, }. Nothing was done."
		exit 1
	fi
}

# set_stage: what a platform engineer does once for a team.
set_stage() {
	if ! kubectl get crd environments.fairlead.dev >/dev/null 2>&1; then
		created+=(crd/environments.fairlead.dev)
		"$fairlead" crd | kubectl apply --server-side -f - >/dev/null
		kubectl wait --for condition=Established crd/environments.fairlead.dev --timeout 20s >/dev/null
	fi
	created+=("namespace/$HOME_NAMESPACE" "namespace/$NAMESPACE")
	kubectl create namespace "$HOME_NAMESPACE" >/dev/null
	kubectl create namespace "$NAMESPACE" >/dev/null
	kubectl -n "$HOME_NAMESPACE" create serviceaccount deploy-dev >/dev/null
	# The rights that the tree's own platform gives to this environment, for an account of the stage; and Secrets, since the
	# demo may commit one.
	sed -e "s/namespace: fairlead$/namespace: $HOME_NAMESPACE/" -e 's/\[configmaps, /[configmaps, secrets, /' \
		"overlays/platform/tenants/$ENVIRONMENT/namespace/role.yaml" |
		kubectl -n "$NAMESPACE" create -f - >/dev/null
	# In a cluster of yours the chart brings this account, and policies that keep it to the namespaces of previews.
	kubectl -n "$HOME_NAMESPACE" create serviceaccount previews >/dev/null
	created+=("clusterrole/$PREVIEWS" "clusterrolebinding/$PREVIEWS")
	kubectl create clusterrole "$PREVIEWS" --verb create,patch,delete \
		--resource namespaces,resourcequotas,limitranges,configmaps,services,serviceaccounts \
		--resource deployments.apps,statefulsets.apps,horizontalpodautoscalers.autoscaling,ingresses.networking.k8s.io \
		--resource networkpolicies.networking.k8s.io,poddisruptionbudgets.policy >/dev/null
	kubectl create clusterrolebinding "$PREVIEWS" --clusterrole "$PREVIEWS" \
		--serviceaccount "$HOME_NAMESPACE:previews" >/dev/null
	created=("environment/$ENVIRONMENT" "environment/$PREVIEW" "namespace/$PREVIEW" "${created[@]}")
	kubectl create -f - >/dev/null <<-YAML
		apiVersion: fairlead.dev/v1alpha1
		kind: Environment
		metadata: {name: $ENVIRONMENT}
		spec:
		  source: {url: "file://$work/infra.git", branch: env/dev}
		  serviceAccount: {namespace: $HOME_NAMESPACE, name: deploy-dev}
		  namespaces: [$NAMESPACE]
		  secrets: [notejam/dev/*]
		  pullRequests:
		    forge: files
		    repository: infra
		    interval: 1s
		    previews: {serviceAccount: {namespace: $HOME_NAMESPACE, name: previews}, max: 1}
	YAML
	mkdir -p "$work/pulls/infra"
}

# make_remote: a bare repository with one branch, and a clone to commit in.
make_remote() {
	git init --quiet --bare "$work/infra.git"
	git init --quiet --initial-branch env/dev "$work/infra"
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git archive HEAD environments base overlays | tar -x -C "$work/infra"
	else
		cp -R environments base overlays "$work/infra"
	fi
	infra config user.name 'A developer'
	infra config user.email developer@example.org
	infra config commit.gpgsign false
	infra remote add origin "file://$work/infra.git"
	commit 'The infra tree'
}

infra() { git -C "$work/infra" "$@"; }

# commit MESSAGE commits whatever was changed, and pushes it.
commit() {
	infra add --all
	infra commit --quiet --message "$1"
	infra push --quiet origin env/dev
}

head_commit() { infra rev-parse HEAD; }

start_agent() {
	"$fairlead" agent --kubeconfig "$kubeconfig" --namespace "${AGENT_NAMESPACE:-$HOME_NAMESPACE}" --env "$ENVIRONMENT" --env "$PREVIEW" \
		--state-namespace "${STATE_NAMESPACE:-$HOME_NAMESPACE}" --cache "$work/cache" --listen 127.0.0.1:0 --poll-interval 1s --git-folders --secrets-interval 1s --log-format json \
		--pull-requests-folder "$work/pulls" \
		2>"$work/agent.log" 7<&- 8>&- 9>&- &
	agent_pid=$!
}

stop_agent() {
	[[ -n $agent_pid ]] || return 0
	kill -TERM "$agent_pid" 2>/dev/null || true
	wait "$agent_pid" 2>/dev/null || true
	agent_pid=''
}

# close_stage: everything that was begun here ends, whatever happened.
close_stage() {
	local status=$?
	trap - EXIT INT TERM
	if declare -F stop_regions >/dev/null; then stop_regions; fi
	stop_agent
	stop_moto
	if [[ -n ${DEMO_KUBECONFIG:-} ]] && ((${#created[@]} > 0)); then
		tell "Removing ${created[*]}"
		kubectl delete --ignore-not-found --wait=false "${created[@]}" >/dev/null || true
	fi
	if ((status != 0 && failed > 0)) && [[ -s $work/agent.log ]]; then
		tell 'The end of the log of the agent:'
		tail -n 20 "$work/agent.log" >&2
	fi
	stop_controlplane
	rm -rf "$work"
	exit "$status"
}

# In the namespace: what the agent applied of each object, and when. The same twice means that nothing was written.
applied() {
	kubectl -n "$NAMESPACE" get serviceaccounts,networkpolicies,configmaps,services,poddisruptionbudgets,deployments \
		--selector "fairlead.dev/environment=$ENVIRONMENT" --show-managed-fields --output "jsonpath={range .items[*]}\
{.metadata.managedFields[?(@.manager==\"fairlead\")].time} {.kind} {.metadata.generation} \
{.metadata.annotations.fairlead\.dev/applied}{\"\n\"}{end}"
}

# written FROM lists what was written as the environment's identity, in order, since the audit log had FROM lines.
written() { audited "$1" | grep -v 'dryRun=All' | audited_objects || true; }
tried() { audited "$1" | grep 'dryRun=All' | audited_objects || true; }
audited() { tail -n "+$(($1 + 1))" "$audit" | grep -E '"verb":"(create|update|patch|delete)"' | grep -F "\"$IDENTITY\"" || true; }
audited_objects() { sed -nE 's/.*"objectRef":\{"resource":"([^"]*)".*"name":"([^"]*)".*/\1 \2/p'; }
audit_lines() { if [[ -n $audit ]]; then wc -l <"$audit"; else echo 0; fi; }
