# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: what a real API server says of the trees.

account() { printf 'system:serviceaccount:fairlead:deploy-%s' "$1"; }
namespace_of() { kubectl get environment "$1" -o 'jsonpath={.spec.namespaces[0]}'; }

# taken ENVIRONMENT: as its own account, all of it is written, and the server warns of nothing.
taken() {
	local output
	output=$(jq '{apiVersion: "v1", kind: "List", items: .}' "$work/rendered/$1.json" |
		kubectl --as "$(account "$1")" apply --server-side -f - 2>&1) || { printf '%s\n' "$output" && return 1; }
	[[ $output != *Warning* ]] || { grep Warning <<<"$output" && return 1; }
}
# Of what the account does not need it has nothing, and it reads nothing.
no_more() {
	local verb resource others=(secrets) namespace
	namespace=$(namespace_of "$1")
	# Who has references to secrets writes the Secrets that they stand in.
	! jq -e 'any(.[]; .kind == "Secret")' "$work/rendered/$1.json" >/dev/null || others=()
	for resource in "${others[@]}" pods pods/exec roles.rbac.authorization.k8s.io resourcequotas namespaces environments.fairlead.dev; do
		for verb in create patch delete; do
			may_not "$1" "$verb" "$resource" "$namespace" || return 1
		done
	done
	for resource in configmaps deployments.apps pods secrets; do
		for verb in get list watch; do
			may_not "$1" "$verb" "$resource" "$namespace" || return 1
		done
	done
	may_not "$1" create configmaps default
}
may_not() { # ENVIRONMENT VERB RESOURCE NAMESPACE
	if kubectl auth can-i "$2" "$3" --as "$(account "$1")" -n "$4" >/dev/null 2>&1; then
		echo "$(account "$1") may $2 $3 in $4"
		return 1
	fi
}
# Enough, and nothing more: without any one of its rules something is refused.
each_rule_is_needed() {
	local namespace role n rules resource
	namespace=$(namespace_of "$1")
	role=$(kubectl -n "$namespace" get role "deploy-$1" -o json | jq 'del(.metadata.resourceVersion, .metadata.managedFields)')
	rules=$(jq '[.rules[] as $r | $r.resources[] | {apiGroups: $r.apiGroups, resources: [.], verbs: $r.verbs}]' <<<"$role")
	for ((n = 0; n < $(jq length <<<"$rules"); n++)); do
		resource=$(jq -r ".[$n].resources[0]" <<<"$rules")
		jq --argjson rules "$rules" --argjson n "$n" '.rules = ($rules | del(.[$n]))' <<<"$role" | kubectl replace -f - >/dev/null
		if taken "$1" >/dev/null 2>&1; then
			echo "nothing needs $resource"
			return 1
		fi
	done
	kubectl replace -f - <<<"$role" >/dev/null
	taken "$1"
}
# Controllers make the pods, and the quota, the limits and the restricted level let them.
pods_are_let_in() {
	local refused namespace wanted have _
	namespace=$(namespace_of "$1")
	wanted=$(jq '[.[] | select(.kind | IN("Deployment", "StatefulSet"))
		| if .kind == "StatefulSet" and .spec.podManagementPolicy != "Parallel" then 1 else .spec.replicas // 1 end] | add // 0' \
		"$work/rendered/$1.json")
	for _ in {1..60}; do
		have=$(kubectl -n "$namespace" get pods -o name | wc -l)
		((have >= wanted)) && break
		sleep 0.5
	done
	refused=$(kubectl -n "$namespace" get events --field-selector reason=FailedCreate \
		-o 'jsonpath={range .items[*]}{.involvedObject.name}: {.message}{"\n"}{end}' |
		# Two that count at once for one quota: a controller tries again.
		grep -v 'the object has been modified' || true)
	if ((have < wanted)) || [[ -n $refused ]]; then
		echo "$have of $wanted pods: $refused"
		return 1
	fi
}
# The quota has room for what the autoscalers may start.
quota_has_room() {
	local namespace hard
	namespace=$(namespace_of "$1")
	hard=$(kubectl -n "$namespace" get resourcequota quota -o json | jq .spec.hard)
	jq -e --argjson hard "$hard" '
		def cpu: tostring | if endswith("m") then (rtrimstr("m") | tonumber) else (tonumber * 1000) end;
		def memory: if endswith("Gi") then (rtrimstr("Gi") | tonumber * 1024) else (rtrimstr("Mi") | tonumber) end;
		. as $all | [$all[] | select(.kind | IN("Deployment", "StatefulSet")) | . as $w
		| ([$all[] | select(.kind == "HorizontalPodAutoscaler" and .spec.scaleTargetRef.name == $w.metadata.name) | .spec.maxReplicas]
		+ [$all[] | select(.kind == "ScaledObject" and .spec.scaleTargetRef.name == $w.metadata.name) | .spec.maxReplicaCount]
		+ [$w.spec.replicas // 1] | max) as $n
		| .spec.template.spec.containers[0].resources
		| {n: $n, cpu: (.requests.cpu | cpu), memory: (.requests.memory | memory), lcpu: (.limits.cpu | cpu), lmemory: (.limits.memory | memory)}]
		| {pods: (map(.n) | add // 0), cpu: (map(.n * .cpu) | add // 0), memory: (map(.n * .memory) | add // 0),
		   lcpu: (map(.n * .lcpu) | add // 0), lmemory: (map(.n * .lmemory) | add // 0)}
		| if .pods <= ($hard.pods | tonumber) and .cpu <= ($hard["requests.cpu"] | cpu) and .memory <= ($hard["requests.memory"] | memory)
			and .lcpu <= ($hard["limits.cpu"] | cpu) and .lmemory <= ($hard["limits.memory"] | memory)
		  then true else (., $hard | debug) | false end' "$work/rendered/$1.json" 2>&1
}
a_pod_of_root_is_refused() {
	local output
	output=$(kubectl -n notejam-production run root --image nginx --overrides '{"spec":{"hostNetwork":true}}' 2>&1) &&
		{ echo 'it was let in' && return 1; }
	[[ $output == *'violates PodSecurity'* ]]
}
by_the_servers_schemas() { # FILE: a list of objects, each of which is looked at.
	local said
	said=$(jq '{apiVersion: "v1", kind: "List", items: .}' "$1" | "$FAIRLEAD_KUBECONFORM" -strict -output json -summary \
		-schema-location "$work/schemas/{{.ResourceKind}}{{.KindSuffix}}.json") || { printf '%s\n' "$said" && return 1; }
	jq -e --argjson all "$(jq length "$1")" '.summary.valid == $all' <<<"$said" || { printf '%s\n' "$said" && return 1; }
}
conforms() { by_the_servers_schemas "$work/rendered/$1.json"; }
tenants_conform() {
	"$FAIRLEAD_KUSTOMIZE" build overlays/platform/tenants | as_json >"$work/tenants.json" && by_the_servers_schemas "$work/tenants.json"
}
a_wrong_field_is_seen() { # KIND FIELD ENVIRONMENT
	jq --arg kind "$1" '[.[] | select(.kind == $kind)][:1]' "$work/rendered/$3.json" >"$work/right.json"
	jq ".[0]$2 = {}" "$work/right.json" >"$work/wrong.json"
	by_the_servers_schemas "$work/right.json" && ! by_the_servers_schemas "$work/wrong.json"
}
no_deprecated_api() {
	local used
	used=$(kubectl get --raw /metrics | grep '^apiserver_requested_deprecated_apis{' | grep -v 'resource="\(endpoints\|componentstatuses\)"' || true)
	[[ -z $used ]] || { echo "$used" && return 1; }
}

server() {
	local environment
	echo '== a real API server'
	start_controlplane --nodes 6
	kubectl apply --server-side -f "$FAIRLEAD_DEFINITIONS" -f charts/fairlead/crds >/dev/null
	kubectl wait --for condition=Established crd --all --timeout 20s >/dev/null
	kubectl create namespace fairlead >/dev/null
	check 'what the platform says is taken' kubectl apply --server-side -k overlays/platform/tenants
	mkdir "$work/schemas"
	kubectl get --raw /openapi/v2 | "$python" tests/infra/schemas.py "$work/schemas" >/dev/null
	check 'kubeconform agrees, by the schemas of this server: what the platform says' tenants_conform
	for environment in "${environments[@]}"; do
		check "kubeconform agrees, by the schemas of this server: $environment" conforms "$environment"
		check "$environment: its account may write all of it, and nothing is warned of" taken "$environment"
		check "$environment: its account may do nothing else" no_more "$environment"
		check "$environment: its pods are let in" pods_are_let_in "$environment"
		check "$environment: the quota has room for all that its autoscalers may start" quota_has_room "$environment"
	done
	check 'kubeconform sees a field that there is not' a_wrong_field_is_seen Deployment \
		'.spec.template.spec.containers[0].readinessProb' dev
	check 'and one of a kind of an operator' a_wrong_field_is_seen HTTPRoute '.spec.rules[0].backendRef' production
	check 'production: without any one of its rules something is refused' each_rule_is_needed production
	check 'a pod that wants more than the restricted level is refused' a_pod_of_root_is_refused
	check 'no deprecated API was used' no_deprecated_api
	stop_controlplane
}
