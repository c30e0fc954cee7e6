# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: what checkov and kube-score find is fixed, or answered in docs/systems/findings.md.

# Lines `rule<tab>namespace/kind/name` of what each finds.
kube_score_finds() {
	# Both end with 1 where they find anything.
	("$FAIRLEAD_KUBE_SCORE" score --kubernetes-version v1.36 --output-format json "$work"/judged/*.yaml || true) |
		jq -r '.[] | .type_meta.kind as $kind | .object_meta as $meta | .checks[] | select(.skipped | not) | select(.grade < 10)
			| .check.id as $id | (.comments // [{}])[] | ["kube-score/" + $id, "\($meta.namespace)/\($kind)/\($meta.name)"] | @tsv' | sort -u
}
checkov_finds() {
	("$FAIRLEAD_CHECKOV" --directory "$work/judged" --framework kubernetes --compact --quiet --skip-download --output json || true) |
		jq -r 'if type == "array" then .[] else . end | if .summary.parsing_errors > 0 then error("it could not read all") else . end
			| .results.failed_checks[] | (.resource | split(".")) as $of | [.check_id, "\($of[1])/\($of[0])/\($of[2:] | join("."))"] | @tsv' | sort -u
}
# Lines `rule<tab>pattern` of what docs/systems/findings.md answers.
# shellcheck disable=SC2016 # Backticks of Markdown.
answers() { sed -nE 's/^\| `([^`]+)` \| `([^`]+)` \|.*/\1\t\2/p' docs/systems/findings.md | sed 's/\\|/|/g'; }

answered() { # JUDGE
	local rule object pattern known unanswered=0
	"$1_finds" >"$work/$1" || return 1
	# Some findings there are; none at all would mean that nothing was judged.
	[[ -s $work/$1 ]] || { echo 'it found nothing, which is not to be believed' && return 1; }
	while IFS=$'\t' read -r rule object; do
		known=''
		while read -r pattern; do
			[[ $object =~ ^$pattern$ ]] && known=1
		done < <(answers | awk -F '\t' -v rule="$rule" '$1 == rule {print $2}')
		[[ -n $known ]] || { echo "$rule: $object" && unanswered=1; }
	done <"$work/$1"
	return $unanswered
}
every_answer_is_needed() {
	local rule pattern wrong=0
	while IFS=$'\t' read -r rule pattern; do
		cat "$work/kube_score" "$work/checkov" | awk -F '\t' -v rule="$rule" '$1 == rule {print $2}' | grep -qxE "$pattern" ||
			{ echo "nothing finds $rule of $pattern any more" && wrong=1; }
	done < <(answers)
	return $wrong
}

judges() {
	local environment
	echo '== kube-score and checkov'
	mkdir -p "$work/judged"
	for environment in "${environments[@]}"; do
		"$fairlead" render --env "$environment" >"$work/judged/$environment.yaml"
	done
	check 'what kube-score finds is answered' answered kube_score
	check 'what checkov finds is answered' answered checkov
	check 'every answer is still needed' every_answer_is_needed
}
