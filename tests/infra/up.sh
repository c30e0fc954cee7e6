# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: an agent brings every environment up from git, as the platform's own words let it.

agent_pid=''
world_pid=''

# The Secrets that pods name, with a word in each key that somebody reads.
secrets_of() { # ENVIRONMENT
	jq -r '.[] | (.spec.jobTemplate.spec.template // .spec.template // empty).spec
		| ([(.initContainers // [])[], .containers[]] | .[] | ((.envFrom // [])[].secretRef | values | .name),
			((.env // [])[].valueFrom.secretKeyRef | values | .name)),
		  ((.volumes // [])[].secret | values | .secretName)' "$work/rendered/$1.json" | sort -u
}
# The secrets that staging and production refer to, in what stands in for AWS.
secrets_in_aws() {
	local environment
	start_moto
	for environment in staging production; do
		put_secret "notejam/$environment/database" '{"username": "notejam-a", "password": "first"}'
		put_secret "notejam/$environment/redis" '{"password": "first"}'
		put_secret "notejam/$environment/session" '{"key": "first"}'
	done
}
# What operators would say of the objects that are theirs, while the agent waits for it.
world() {
	local kind of name status
	while :; do
		for kind in httproutes gateways scaledobjects prometheuses alertmanagers; do
			case $kind in
			httproutes) status='{"status":{"parents":[{"parentRef":{"name":"public"},"controllerName":"example.org/sim","conditions":[{"type":"Accepted","status":"True","reason":"Accepted","message":"","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1},{"type":"ResolvedRefs","status":"True","reason":"ResolvedRefs","message":"","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1}]}]}}' ;;
			gateways) status='{"status":{"conditions":[{"type":"Accepted","status":"True","reason":"Accepted","message":"","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1},{"type":"Programmed","status":"True","reason":"Programmed","message":"","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1}]}}' ;;
			scaledobjects) status='{"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Active","status":"False"}]}}' ;;
			*) status='{"status":{"conditions":[{"type":"Available","status":"True","observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z"},{"type":"Reconciled","status":"True","observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z"}],"replicas":2,"availableReplicas":2,"updatedReplicas":2,"unavailableReplicas":0,"paused":false}}' ;;
			esac
			kubectl get "$kind" -A -o json 2>/dev/null |
				jq -r '.items[] | select([.status | .. | objects | select(.status? == "True")] == []) | "\(.metadata.namespace) \(.metadata.name)"' |
				while read -r of name; do
					kubectl -n "$of" patch "$kind" "$name" --subresource status --type merge --patch "$status" >/dev/null 2>&1 || true
				done
		done
		sleep 1
	done
}

ready() { "$fairlead" --kubeconfig "$kubeconfig" wait --env "$1" --revision "$revision" --timeout 240s; }
# No zone has all the pods of what is spread.
spread() {
	local alone
	kubectl get nodes -o json >"$work/nodes"
	alone=$(kubectl -n "$(namespace_of "$1")" get pods -o json | jq -r --slurpfile nodes "$work/nodes" '
		($nodes[0].items | map({(.metadata.name): .metadata.labels["topology.kubernetes.io/zone"]}) | add) as $zone
		| [.items[] | select(.metadata.labels["pod-template-hash"] or .metadata.labels["apps.kubernetes.io/pod-index"])
			| select(any(.spec.topologySpreadConstraints[]?; .topologyKey == "topology.kubernetes.io/zone"))
			| {name: .metadata.labels["app.kubernetes.io/name"], zone: $zone[.spec.nodeName]}]
		| if length == 0 then "nothing is spread" else group_by(.name)[] | select(length > 1 and (map(.zone) | unique | length < 2)) | .[0].name end')
	[[ -z $alone ]] || { echo "in one zone only: $alone" && return 1; }
}
# A zone goes: its pods start in the others, and never fewer than all but those of one zone serve.
a_zone_goes() {
	local zone lowest=99 have wanted=3 _
	zone=$(kubectl get nodes -o 'jsonpath={.items[0].metadata.labels.topology\.kubernetes\.io/zone}')
	kubectl taint nodes -l "topology.kubernetes.io/zone=$zone" zone=gone:NoExecute >/dev/null
	for _ in {1..60}; do
		have=$(kubectl -n notejam-production get deployment notejam -o 'jsonpath={.status.availableReplicas}')
		((${have:-0} < lowest)) && lowest=${have:-0}
		kubectl -n notejam-production get pods -l app.kubernetes.io/name=notejam -o json >"$work/pods"
		kubectl get nodes -l "topology.kubernetes.io/zone=$zone" -o json >"$work/gone"
		if ((${have:-0} == wanted)) && jq -e --slurpfile gone "$work/gone" '[$gone[0].items[].metadata.name] as $names
			| all(.items[]; .spec.nodeName as $n | $names | index([$n]) | not)' "$work/pods" >/dev/null; then
			kubectl taint nodes -l "topology.kubernetes.io/zone=$zone" zone- >/dev/null
			echo "at the lowest, $lowest of $wanted served"
			((lowest >= 2))
			return
		fi
		sleep 0.3
	done
	echo "after a while $have of $wanted serve"
	kubectl taint nodes -l "topology.kubernetes.io/zone=$zone" zone- >/dev/null
	return 1
}
# while_a_client_asks COMMAND...: no request to Notejam fails meanwhile.
while_a_client_asks() {
	local status=0 asked failed_requests watcher client
	mkfifo "$work/events"
	"$FAIRLEAD_KUBECTL" --kubeconfig "$kubeconfig" -n notejam-production get endpointslices -l kubernetes.io/service-name=notejam \
		--watch --output-watch-events -o json >"$work/events" 2>/dev/null 7<&- 8>&- 9>&- &
	watcher=$!
	python3 tests/infra/client.py <"$work/events" >"$work/asked" 7<&- 8>&- 9>&- &
	client=$!
	sleep 1
	"$@" || status=1
	sleep 1
	kill "$client"
	wait "$client" || true
	kill "$watcher" 2>/dev/null || true
	wait "$watcher" 2>/dev/null || true
	rm "$work/events"
	read -r asked failed_requests <"$work/asked"
	echo "$asked requests, $failed_requests failed"
	((status == 0 && asked > 100 && failed_requests == 0))
}
# A new image, through every gate.
rolls() {
	sed -i 's/newTag: 1.26-alpine/newTag: 1.28-alpine/' "$work/infra/overlays/production/notejam/kustomization.yaml"
	push || return 1
	ready production || return 1
	[[ $(kubectl -n notejam-production get deployment notejam -o 'jsonpath={.spec.template.spec.containers[0].image}') == *:1.28-alpine ]] &&
		(($(kubectl -n notejam-production get jobs -o name | grep -c migrate) == 2))
}
heals() {
	kubectl -n notejam-production patch configmap notejam --type merge --patch '{"data":{"SIGN_UP":"open"}}' >/dev/null
	for _ in {1..60}; do
		[[ $(kubectl -n notejam-production get configmap notejam -o 'jsonpath={.data.SIGN_UP}') == closed ]] && return 0
		sleep 0.5
	done
	return 1
}
# A pull request into dev, with the label that asks for a preview of it.
pull_request() { # STATE
	printf 'title: Log less in dev\nhead: less-log\nbase: env/dev\nlabels: [preview]\nstate: %s\n' "$1" >"$work/pulls/7.half"
	mv "$work/pulls/7.half" "$work/pulls/infra/7.yaml"
}
preview() { kubectl -n preview-dev-7 get "$@" 2>/dev/null; }
previewed() {
	local _ before
	before=$(kubectl -n notejam-dev get configmap notejam -o 'jsonpath={.data.LOG_LEVEL}')
	git -C "$work/infra" checkout --quiet -b less-log
	sed -i 's/LOG_LEVEL: debug/LOG_LEVEL: warn/' "$work/infra/overlays/dev/notejam/configmap.yaml"
	git -C "$work/infra" -c user.name=A -c user.email=a@example.org -c commit.gpgsign=false commit --quiet --all --message 'Log less' &&
		git -C "$work/infra" push --quiet "$work/infra.git" less-log &&
		git -C "$work/infra" checkout --quiet - || return 1
	pull_request open
	for _ in {1..240}; do
		if [[ $(preview configmap notejam -o 'jsonpath={.data.LOG_LEVEL}') == warn &&
			$(preview deployment notejam -o 'jsonpath={.status.availableReplicas}') == 2 &&
			$(preview statefulset postgres -o 'jsonpath={.status.availableReplicas}') == 1 ]]; then
			[[ $(preview ingress notejam -o 'jsonpath={.spec.rules[*].host}') == notejam-7.dev.example.org &&
				$(kubectl -n notejam-dev get configmap notejam -o 'jsonpath={.data.LOG_LEVEL}') == "$before" ]]
			return
		fi
		sleep 0.5
	done
	kubectl get environments
	cat "$work/pulls/infra/7.md"
	preview all,configmaps,events
	return 1
}
preview_goes() {
	local _
	pull_request closed
	for _ in {1..240}; do
		[[ -z $(kubectl get namespace/preview-dev-7 environment/preview-dev-7 --ignore-not-found -o name) ]] && return 0
		sleep 0.5
	done
	kubectl get namespace/preview-dev-7 environment/preview-dev-7 -o yaml
	return 1
}
push() {
	git -C "$work/infra" add --all
	git -C "$work/infra" -c user.name=A -c user.email=a@example.org -c commit.gpgsign=false commit --quiet --message 'The tree' &&
		revision=$(git -C "$work/infra" rev-parse HEAD) &&
		for environment in "${environments[@]}"; do
			git -C "$work/infra" push --quiet "$work/infra.git" "HEAD:refs/heads/env/$environment" || return 1
		done
}
nothing_more_to_write() {
	local environment state
	for environment in "${environments[@]}"; do
		state=$("$fairlead" --kubeconfig "$kubeconfig" plan --env "$environment" --repo "$work/infra" 2>&1) ||
			{ printf '%s: %s\n' "$environment" "$state" && return 1; }
	done
}

up() {
	local environment secret
	echo '== an agent brings every environment up'
	start_controlplane --nodes 6
	kubectl apply --server-side -f "$FAIRLEAD_DEFINITIONS" -f charts/fairlead/crds >/dev/null
	kubectl wait --for condition=Established crd --all --timeout 20s >/dev/null
	kubectl create namespace fairlead >/dev/null
	git init --quiet --bare "$work/infra.git"
	git init --quiet "$work/infra"
	cp -R environments base overlays charts "$work/infra"
	# Nobody runs preStop here. A pod that is told to end answers on for as long, as it would.
	cat >>"$work/infra/overlays/production/notejam/kustomization.yaml" <<-'YAML'
		  - target: {kind: Deployment, name: notejam}
		    patch: |-
		      - {op: add, path: /spec/template/metadata/annotations, value: {sim.fairlead.dev/stop-after: 15s}}
	YAML
	push
	"$FAIRLEAD_KUSTOMIZE" build overlays/platform/tenants |
		sed -e "s|url: https://git.example/infra.git|url: file://$work/infra.git|" -e '/secretRef: infra-git/d' \
			-e 's/forge: github/forge: files\n    interval: 1s/; s|repository: acme/infra|repository: infra|; /secretRef: infra-forge/d' |
		kubectl apply --server-side -f - >/dev/null
	# What the chart brings for previews: the account that they are written as, and what keeps it to their namespaces.
	env -i PATH="$PATH" HOME="$work" "$FAIRLEAD_HELM" template fairlead charts/fairlead --namespace fairlead \
		--set previews.enabled=true --show-only templates/previews.yaml --show-only templates/previewpolicy.yaml |
		kubectl apply --server-side -f - >/dev/null
	mkdir -p "$work/pulls/infra"
	# The class of volumes that several pods share, as the cluster of a user has one.
	kubectl get storageclass sim -o json | jq '{apiVersion, kind, metadata: {name: "shared"}, provisioner}' | kubectl apply -f - >/dev/null
	for environment in "${environments[@]}"; do
		for secret in $(secrets_of "$environment"); do
			# What git says of a Secret is made by the agent.
			jq -e --arg name "$secret" 'any(.[]; .kind == "Secret" and .metadata.name == $name)' "$work/rendered/$environment.json" >/dev/null && continue
			kubectl -n "$(namespace_of "$environment")" create secret generic "$secret" --from-literal password=x --from-literal REPLICA_PASSWORD=x >/dev/null
		done
	done
	secrets_in_aws
	world 7<&- 8>&- 9>&- &
	world_pid=$!
	"$fairlead" agent --kubeconfig "$kubeconfig" --namespace fairlead --state-namespace fairlead --cache "$work/cache" \
		--listen 127.0.0.1:0 --poll-interval 1s --git-folders --secrets-interval 5s --pull-requests-folder "$work/pulls" \
		--log-format json 2>"$work/agent.log" 7<&- 8>&- 9>&- &
	agent_pid=$!
	for environment in "${environments[@]}"; do
		check "$environment is up" ready "$environment"
	done
	for environment in staging production bob-production alice-production ai-writer-ha; do
		check "$environment may lose a zone" spread "$environment"
	done
	check 'the plan of no environment has changes left' nothing_more_to_write
	check 'a zone goes, and Notejam serves on from the others' a_zone_goes
	check 'a new image of Notejam rolls through production, its migration first, and no request fails' while_a_client_asks rolls
	check 'what somebody edits in production is put back' heals
	check 'a pull request into dev has an environment of its own' previewed
	check 'which goes when it is closed' preview_goes
	commands
	kill "$world_pid" "$agent_pid" 2>/dev/null || true
	wait "$world_pid" "$agent_pid" 2>/dev/null || true
	agent_pid='' world_pid=''
	stop_moto
	stop_controlplane
}
