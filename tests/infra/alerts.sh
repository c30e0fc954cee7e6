# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: rules, alerts and dashboards.

everything() { jq -c --slurp add "$work"/rendered/*.json; }
rules() { everything | "$python" tests/infra/rules.py "$@"; }
as_written() { # The rules with all that is in them, as Prometheus would read them.
	everything | jq -c '[.[] | select(.kind == "PrometheusRule")] | unique_by(.metadata.name)[] | .spec' |
		while IFS= read -r spec; do
			"$FAIRLEAD_PROMTOOL" check rules <<<"$spec" || return 1
		done
}
alert_tests() { "$FAIRLEAD_PROMTOOL" test rules "$work/rules/$1"; }

alerts() {
	local file
	echo '== alerts'
	mkdir -p "$work/rules"
	check 'Prometheus reads every rule' as_written
	check 'rules are the same in all environments' rules extract "$work/rules"
	cp tests/infra/alerts/*.yaml "$work/rules"
	for file in tests/infra/alerts/*.yaml; do
		check "the alerts of ${file##*/} fire on made-up series, and stay quiet on good ones" alert_tests "${file##*/}"
	done
	check 'every alert has such a test' "$python" tests/infra/rules.py tested "$work/rules" tests/infra/alerts/*.yaml
	check 'dashboards are JSON, and every metric is served by somebody' rules metrics tests/infra/metrics.txt
	check 'every alert leads to a page that says what to do' rules runbooks
}
