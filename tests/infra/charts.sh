# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: charts and bases make the same objects.

from_chart() { # CHART ENVIRONMENT NAMESPACE
	env -i PATH="$PATH" HOME="$work" "$FAIRLEAD_HELM" template "$1" "charts/$1" --namespace "$3" \
		--values "tests/infra/values/$1-$2.yaml" | as_json
}
# Labels of objects differ: a chart says its release. The labels of pods that others select by count. What only an active region
# has is said by the component of the region, which is of folders.
but_for_labels() {
	jq -S '[.[] | del(.metadata.labels)
		| if .spec.template.metadata.labels? then .spec.template.metadata.labels |= del(.["app.kubernetes.io/instance"],
			.["app.kubernetes.io/part-of"], .["app.kubernetes.io/managed-by"]) else . end
		| del(.metadata.annotations["fairlead.dev/region-part"]) | if .metadata.annotations == {} then del(.metadata.annotations) else . end]
		| sort_by(.kind, .metadata.name)'
}
# A chart names the Secret that it uses (`existingSecret`), and does not make it: references to AWS stand in the overlay.
but_for_references() {
	# shellcheck disable=SC2016 # The dollar is that of a reference.
	jq '[.[] | select(.kind != "Secret" or any(.stringData // {} | .[]; startswith("${aws-sm:") | not))]'
}
equivalent() { # CHART ENVIRONMENT
	"$fairlead" render --env "$2" --app "$1" -o json | but_for_references | but_for_labels >"$work/of-base" &&
		from_chart "$1" "$2" "notejam-$2" | but_for_labels >"$work/of-chart" &&
		same "$work/of-base" "$work/of-chart"
}
a_difference_is_seen() {
	from_chart notejam production notejam-production | but_for_labels >"$work/of-chart" || return 1
	! same "$work/of-chart" <(sed 's/"maxReplicas": 15/"maxReplicas": 16/' "$work/of-chart")
}
schema_refuses() { # WORDS OPTION...
	local output
	output=$("$FAIRLEAD_HELM" template notejam charts/notejam "${@:2}" 2>&1) && { echo 'it was taken' && return 1; }
	[[ $output == *"$1"* ]] || { printf '%s\n' "$output" && return 1; }
}
lints() { env -i PATH="$PATH" HOME="$work" "$FAIRLEAD_HELM" lint --strict --quiet "charts/$1"; }
agent_renders() { # An environment of charts, by the agent's own renderer.
	mkdir -p "$work/charted/environments/dev"
	cp -R charts "$work/charted"
	cp tests/infra/values/*-dev.yaml "$work/charted/environments/dev"
	cat >"$work/charted/environments/dev/environment.yaml" <<-YAML
		apiVersion: fairlead.dev/v1alpha1
		kind: EnvironmentConfig
		spec:
		  apps:
		    - {name: redis, chart: charts/redis, namespace: notejam-dev, values: [environments/dev/redis-dev.yaml]}
		    - {name: postgres, chart: charts/postgres, namespace: notejam-dev, values: [environments/dev/postgres-dev.yaml]}
		    - {name: notejam, chart: charts/notejam, namespace: notejam-dev, values: [environments/dev/notejam-dev.yaml]}
	YAML
	but_for_labels <"$work/rendered/dev.json" >"$work/of-base" &&
		"$fairlead" render --repo "$work/charted" --env dev --helm "$FAIRLEAD_HELM" -o json | but_for_labels >"$work/of-chart" &&
		same "$work/of-base" "$work/of-chart"
}

charts() {
	local chart environment
	echo '== charts'
	for chart in redis postgres notejam; do
		check "charts/$chart: helm finds nothing to say" lints "$chart"
	done
	for environment in redis/dev postgres/dev redis/qa postgres/qa notejam/dev notejam/qa notejam/production; do
		chart=${environment%/*}
		check "charts/$chart and its base make the same of ${environment#*/}" equivalent "$chart" "${environment#*/}"
	done
	check 'an environment of charts is the environment of bases, by the agent too' agent_renders
	check 'a difference is seen' a_difference_is_seen
	check 'a value that is not known is refused' schema_refuses additional --set databasePassword=hunter2
	check 'a ceiling of text is refused' schema_refuses maxReplicas --set-string autoscaling.maxReplicas=many
}
