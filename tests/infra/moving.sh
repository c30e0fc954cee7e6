# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: a team moves from its own chart to the tree, as docs/systems/moving.md says, and loses nothing.

helm_old() { env -i PATH="$PATH" HOME="$work" KUBECONFIG="$kubeconfig" "$FAIRLEAD_HELM" "$@"; }
uids() { kubectl -n notejam-uat get deployment,service,configmap,secret,horizontalpodautoscaler notejam --ignore-not-found -o json |
	jq -c '[.items[] | {(.kind): .metadata.uid}] | add'; }
old_chart_is_told() {
	local output
	mkdir -p "$work/moved/environments/old" "$work/moved/charts"
	cp -R tests/infra/old/notejam "$work/moved/charts"
	printf '%s\n' 'apiVersion: fairlead.dev/v1alpha1' 'kind: EnvironmentConfig' 'spec:' \
		'  apps: [{name: notejam, chart: charts/notejam, namespace: notejam-uat}]' >"$work/moved/environments/old/environment.yaml"
	output=$("$fairlead" validate --repo "$work/moved" --env old --helm "$FAIRLEAD_HELM" 2>&1) && { echo 'it is valid' && return 1; }
	[[ $output == *v2beta2* && $output == *autoscaling/v2* ]] || { printf '%s\n' "$output" && return 1; }
}
# The overlay takes up the selector of the old Deployment, which cannot be changed.
keep_selector() {
	cat >>"$work/infra/overlays/uat/notejam/kustomization.yaml" <<-'YAML'
		  - target: {kind: Deployment, name: notejam}
		    patch: |-
		      - {op: add, path: /spec/selector/matchLabels/app.kubernetes.io~1instance, value: notes}
		      - {op: add, path: /spec/template/metadata/labels/app.kubernetes.io~1instance, value: notes}
	YAML
}
waits_for_a_word() {
	local _
	for _ in {1..60}; do
		[[ $(kubectl get environment uat -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}') == *helm* ]] && break
		sleep 0.5
	done
	kubectl get environment uat -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}'
	[[ $(kubectl get environment uat -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}') == *helm* && $(uids) == "$before" ]] &&
		[[ $(kubectl -n notejam-uat get deployment notejam -o 'jsonpath={.metadata.labels.fairlead\.dev/environment}') == '' ]]
}
is_adopted() {
	local lowest sampler status=0
	(
		while :; do
			kubectl -n notejam-uat get deployment notejam -o 'jsonpath={.status.availableReplicas}{"\n"}' >>"$work/available"
			sleep 0.1
		done
	) &
	sampler=$!
	"$fairlead" --kubeconfig "$kubeconfig" adopt --env uat --reason 'moves from its chart' && ready uat || status=1
	kill "$sampler"
	wait "$sampler" 2>/dev/null || true
	lowest=$(sort -n "$work/available" | head -n 1)
	echo "at the lowest $lowest of 3 served"
	((status == 0 && ${lowest:-0} >= 3))
}
nothing_is_lost() {
	[[ $(uids) == "$before" ]] || { echo "before $before, after $(uids)" && return 1; }
	[[ $(kubectl -n notejam-uat get secret notejam -o 'jsonpath={.data.DATABASE_PASSWORD}' | base64 -d) == hunter2 ]] &&
		[[ $(kubectl -n notejam-uat get deployment notejam -o 'jsonpath={.spec.replicas}') == 3 ]]
}
release_is_forgotten() {
	kubectl -n notejam-uat delete secret -l owner=helm,name=notes >/dev/null &&
		[[ -z $(helm_old list --namespace notejam-uat --short) ]] && nothing_is_lost && ready uat
}
plan_is_empty() { "$fairlead" --kubeconfig "$kubeconfig" plan --env uat --repo "$work/infra"; }

moving() {
	# shellcheck disable=SC2034 # push reads it.
	local environments=(uat)
	echo '== a team moves from its own chart'
	start_controlplane --nodes 6
	kubectl apply --server-side -f "$FAIRLEAD_DEFINITIONS" -f charts/fairlead/crds >/dev/null
	kubectl wait --for condition=Established crd --all --timeout 20s >/dev/null
	kubectl create namespace fairlead >/dev/null
	rm -rf "$work/infra" "$work/infra.git" "$work/cache"
	git init --quiet --bare "$work/infra.git"
	git init --quiet "$work/infra"
	cp -R environments base overlays "$work/infra"
	keep_selector
	push
	check 'the old chart is told what is wrong with it' old_chart_is_told
	# What the server made of the old API while it still had it.
	cp -R tests/infra/old/notejam "$work/old"
	sed -i 's|autoscaling/v2beta2|autoscaling/v2|' "$work/old/templates/all.yaml"
	"$FAIRLEAD_KUSTOMIZE" build overlays/platform/tenants/uat |
		sed -e "s|url: https://git.example/infra.git|url: file://$work/infra.git|" -e '/secretRef: infra-git/d' >"$work/tenant.yaml"
	kubectl create namespace notejam-uat >/dev/null
	helm_old install notes "$work/old" --namespace notejam-uat >/dev/null
	kubectl -n notejam-uat rollout status deployment notejam --timeout 60s >/dev/null
	before=$(uids)
	for secret in backup backup-identities; do kubectl -n notejam-uat create secret generic "$secret" --from-literal x=x >/dev/null; done
	kubectl apply --server-side -f "$work/tenant.yaml" >/dev/null
	world 7<&- 8>&- &
	world_pid=$!
	"$fairlead" agent --kubeconfig "$kubeconfig" --namespace fairlead --state-namespace fairlead --cache "$work/cache" \
		--listen 127.0.0.1:0 --poll-interval 1s --git-folders --log-format json 2>"$work/agent.log" 7<&- 8>&- &
	agent_pid=$!
	check 'nothing is touched before somebody agrees' waits_for_a_word
	check 'it is adopted, and no pod too few serves meanwhile' is_adopted
	check 'no object was made anew, and the password is where it was' nothing_is_lost
	check 'the release is forgotten, and everything stays' release_is_forgotten
	check 'the plan has no changes left' plan_is_empty
	kill "$world_pid" "$agent_pid" 2>/dev/null || true
	wait "$world_pid" "$agent_pid" 2>/dev/null || true
	agent_pid='' world_pid=''
	stop_controlplane
}
