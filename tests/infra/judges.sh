# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: what checkov, kube-score and trivy find is fixed, or answered in docs/systems/findings.md.

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
# Each object is a file of its own, since trivy names only files. The checks are those that come with it: none are fetched.
trivy_finds() {
	local folder name object
	while IFS=$'\t' read -r folder name object; do
		mkdir -p "$work/objects/$folder"
		printf '%s\n' "$object" >"$work/objects/$folder/$name.json"
	done < <(jq -r '.[] | "\(.metadata.namespace)/\(.kind)\t\(.metadata.name)\t\(tojson)"' "$work"/rendered/*.json "$work/step-jobs.json")
	"$FAIRLEAD_TRIVY" config --quiet --skip-check-update --skip-version-check --cache-dir "$work/trivy" --format json \
		"$work/objects" >"$work/trivy.json" || return 1
	jq -r '[.Results[].MisconfSummary.Successes // 0] | add // 0 | if . < 1000 then error("it judged next to nothing") else empty end' \
		"$work/trivy.json" || return 1
	jq -r '.Results[] | .Target as $target | (.Misconfigurations // [])[] | select(.Status == "FAIL")
		| ["trivy/" + .ID, ($target | rtrimstr(".json"))] | @tsv' "$work/trivy.json" | sort -u
}
# Lines `rule<tab>pattern` of what docs/systems/findings.md answers.
# shellcheck disable=SC2016 # Backticks of Markdown.
answers() { sed -nE 's/^\| `([^`]+)` \| `([^`]+)` \|.*/\1\t\2/p' docs/systems/findings.md | sed 's/\\|/|/g'; }

answered() { # JUDGE
	local rule object pattern known unanswered=0
	"$1_finds" >"$work/found-$1" || return 1
	# Some findings there are; none at all would mean that nothing was judged.
	[[ -s $work/found-$1 ]] || { echo 'it found nothing, which is not to be believed' && return 1; }
	while IFS=$'\t' read -r rule object; do
		known=''
		while read -r pattern; do
			[[ $object =~ ^$pattern$ ]] && known=1
		done < <(answers | awk -F '\t' -v rule="$rule" '$1 == rule {print $2}')
		[[ -n $known ]] || { echo "$rule: $object" && unanswered=1; }
	done <"$work/found-$1"
	return $unanswered
}
every_answer_is_needed() {
	local rule pattern wrong=0
	while IFS=$'\t' read -r rule pattern; do
		cat "$work"/found-* | awk -F '\t' -v rule="$rule" '$1 == rule {print $2}' | grep -qxE "$pattern" ||
			{ echo "nothing finds $rule of $pattern any more" && wrong=1; }
	done < <(answers)
	return $wrong
}

judges() {
	local environment job
	echo '== kube-score, checkov and trivy'
	mkdir -p "$work/judged"
	for environment in "${environments[@]}"; do
		"$fairlead" render --env "$environment" >"$work/judged/$environment.yaml"
	done
	# The Jobs of moves between regions are rendered by nobody: they are made when there is a move.
	cp environments/*/region/*.yaml "$work/judged"
	for job in environments/*/region/*.yaml; do as_json <"$job"; done | jq -s add >"$work/step-jobs.json"
	check 'what kube-score finds is answered' answered kube_score
	check 'what checkov finds is answered' answered checkov
	check 'what trivy finds is answered' answered trivy
	check 'every answer is still needed' every_answer_is_needed
}
