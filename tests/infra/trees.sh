# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: what can be said of the trees offline.

render_all() {
	local environment
	mkdir "$work/rendered"
	for environment in "${environments[@]}"; do
		"$fairlead" render --env "$environment" -o json >"$work/rendered/$environment.json"
	done
}

# as_json reads YAML documents and prints them as one list.
as_json() { "$python" -c 'import json, sys, yaml; print(json.dumps([d for d in yaml.safe_load_all(sys.stdin) if d]))'; }

# same FILE FILE: they say the same, and something.
same() {
	[[ -e $1 && $(head -c 100 "$1" | wc -c) -gt 50 ]] || { echo "$1 says nothing" && return 1; }
	diff "$1" "$2"
}
same_as_kustomize() { # FOLDER
	"$fairlead" render "$1" -o json | jq -S . >"$work/of-fairlead" &&
		"$FAIRLEAD_KUSTOMIZE" build "$1" | as_json | jq -S . >"$work/of-kustomize" && same "$work/of-fairlead" "$work/of-kustomize"
}
nothing_said() { # COMMAND...: it succeeds, and has no notes.
	local output
	output=$("$@" 2>&1) || { printf '%s\n' "$output" && return 1; }
	[[ $output == *'nothing is wrong'* && $output != *note* ]] || { printf '%s\n' "$output" && return 1; }
}
# A Secret of git holds references, and nothing else.
no_secret_in_git() {
	jq -e -n '[inputs[] | select(.kind == "Secret") | (.data // {}) + (.stringData // {}) | to_entries[]
		| select(.value | test("^[$][{]aws-(sm|ps):[^}]+[}]$") | not)] == []' "$work"/rendered/*.json >/dev/null &&
		! git grep -nIE 'AGE-SECRET-KEY-1|AKIA[0-9A-Z]{16}|BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY' -- base overlays environments charts
}
refers_to_secrets() {
	local environment
	for environment in staging production; do
		jq -e --arg begin "\${aws-sm:notejam/$environment/" '[.[] | select(.kind == "Secret" and .metadata.name == "notejam") | .stringData]
			| length == 1 and all(.[0] | .DATABASE_PASSWORD, .REDIS_PASSWORD, .SECRET_KEY_BASE; startswith($begin))' \
			"$work/rendered/$environment.json" >/dev/null || return 1
	done
}
one_of_each() { # No two environments write the same object.
	local twice
	twice=$(jq -r '.[] | [.apiVersion, .kind, .metadata.namespace // "", .metadata.name] | join("/")' "$work"/rendered/*.json | sort | uniq -d)
	[[ -z $twice ]] || { echo "$twice" && return 1; }
}
# Everything that a pod template needs here, of every workload.
demands() {
	jq -r --slurp 'add[] | . as $o | (.spec.jobTemplate.spec.template // .spec.template // empty) as $t
		| select($o.kind | IN("Deployment", "StatefulSet", "Job", "CronJob", "DaemonSet"))
		| "\($o.metadata.namespace)/\($o.kind)/\($o.metadata.name)" as $name
		| ($t.spec.initContainers // []) as $init | ($t.spec.containers + $init)[] as $c
		| (if ($c.resources | .requests.cpu and .requests.memory and .limits.cpu and .limits.memory) | not then "no sizes" else empty end),
		  (if $c.securityContext.readOnlyRootFilesystem != true then "a root file system that can be written" else empty end),
		  (if $t.spec.securityContext.runAsNonRoot != true then "may be root" else empty end),
		  (if $t.spec.automountServiceAccountToken == true and ($o.metadata.name | IN("kube-state-metrics", "collector") | not) then "a token" else empty end),
		  (if ($o.kind | IN("Deployment", "StatefulSet")) and ($t.spec.containers[0] | .readinessProbe or .livenessProbe | not)
			and $o.metadata.name != "headroom" then "no probe" else empty end),
		  (if ($c.image | test(":[^/]+$") | not) then "an image without a tag" else empty end)
		| "\($name): \(.)"' "$work"/rendered/*.json
}
meets_demands() {
	local found
	found=$(demands)
	[[ -z $found ]] || { echo "$found" && return 1; }
}
# What serves has a pod too many while it rolls, and a budget.
without_downtime() {
	local found
	found=$(jq -r --slurp 'add as $all | $all[] | select(.kind == "Deployment" and .metadata.name != "ai-writer")
		| . as $d | ($d.spec.replicas // 2) as $n
		| (if $d.spec.strategy.rollingUpdate.maxUnavailable != 0 then "goes below its number while it rolls" else empty end),
		  (if $n > 1 and ([$all[] | select(.kind == "PodDisruptionBudget" and .metadata.namespace == $d.metadata.namespace
			and .spec.selector.matchLabels["app.kubernetes.io/name"] == $d.spec.selector.matchLabels["app.kubernetes.io/name"])] == [])
			and ($d.metadata.name | IN("headroom", "ai-writer-worker-batch") | not) then "no budget" else empty end)
		| "\($d.metadata.namespace)/\($d.metadata.name): \(.)"' "$work"/rendered/*.json)
	[[ -z $found ]] || { echo "$found" && return 1; }
}
scales_more_than_four_times() {
	jq -e '.[] | select(.kind == "HorizontalPodAutoscaler" and .metadata.name == "notejam") | .spec.maxReplicas > 4 * .spec.minReplicas' \
		"$work/rendered/production.json"
}

trees() {
	local folder
	echo '== trees'
	check 'every environment is valid, without a note' nothing_said "$fairlead" validate
	check 'and so is what the platform says' nothing_said "$fairlead" validate overlays/platform/tenants
	for folder in overlays/*/*/ ; do
		[[ -e $folder/kustomization.yaml && $folder != overlays/regions/* ]] || continue
		check "kustomize agrees on ${folder%/}" same_as_kustomize "$folder"
	done
	check 'each Role is what its environment renders to' make/rbac.sh check
	check 'no secret is in git' no_secret_in_git
	check 'the secrets of Notejam in staging and production are references' refers_to_secrets
	check 'no two environments write the same object' one_of_each
	check 'every workload has sizes, probes, tags, and may do nothing' meets_demands
	check 'what serves rolls without a gap, and has a budget' without_downtime
	check 'notejam scales by more than four times in production' scales_more_than_four_times
}
