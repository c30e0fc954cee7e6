# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of run.sh.
# Sourced by run.sh: the commands of docs/systems, on what `up` brought up.

finished() { kubectl -n "$1" wait --for condition=Complete "job/$2" --timeout 60s; }
backup_by_hand() {
	kubectl -n notejam-production create job --from cronjob/backup backup-now &&
		finished notejam-production backup-now && kubectl -n notejam-production logs job/backup-now &&
		kubectl -n notejam-production create job --from cronjob/verify verify-now && finished notejam-production verify-now &&
		kubectl -n notejam-production create job --from cronjob/rekey rekey-now && finished notejam-production rekey-now
}
restore_by_hand() {
	kubectl -n notejam-production create job --from cronjob/restore restore-now --dry-run=client -o json |
		jq '.spec.template.spec.containers[0] |= (.command += ["20261130T020700Z"] | .env = [{name: "PGDATABASE", value: "notejam_restored"}])' |
		kubectl create -f - && finished notejam-production restore-now || return 1
	[[ $(kubectl -n notejam-production get job restore-now -o 'jsonpath={.spec.template.spec.containers[0].command[1]}') == 20261130T020700Z ]]
}
promote_by_hand() { kubectl -n ai-writer-ha create job --from cronjob/promote promote-1 && finished ai-writer-ha promote-1; }
cron_by_hand() { kubectl -n bob-production create job --from cronjob/bob-invoices invoices-now && finished bob-production invoices-now; }
rotated_by_hand() {
	printf 'DATABASE_PASSWORD=new\n' >"$work/notejam.env"
	kubectl -n notejam-uat create secret generic notejam --from-env-file "$work/notejam.env" --dry-run=client -o yaml |
		kubectl apply -f - && kubectl -n notejam-uat rollout restart deployment notejam &&
		kubectl -n notejam-uat rollout status deployment notejam --timeout 60s || return 1
	sleep 3
	[[ -n $(kubectl -n notejam-uat get deployment notejam -o 'jsonpath={.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt}') ]] &&
		"$fairlead" --kubeconfig "$kubeconfig" plan --env uat --repo "$work/infra"
}
password() { kubectl -n notejam-production get secret notejam -o 'jsonpath={.data.DATABASE_PASSWORD}' | base64 --decode; }
# Nothing is committed: the agent hears of the newer version when it asks next.
rotated_in_aws() {
	local before said _
	[[ $(password) == first ]] || return 1
	before=$(kubectl -n notejam-production get deployment notejam -o 'jsonpath={.metadata.generation}')
	put_secret notejam/production/database '{"username": "notejam-b", "password": "second"}'
	for _ in {1..240}; do
		said=$("$fairlead" --kubeconfig "$kubeconfig" secrets production notejam/production/database)
		if [[ $(password) == second && $said == *'may be revoked:'* ]]; then
			(($(kubectl -n notejam-production get deployment notejam -o 'jsonpath={.metadata.generation}') > before)) &&
				"$fairlead" --kubeconfig "$kubeconfig" plan --env production --repo "$work/infra"
			return
		fi
		sleep 0.5
	done
	printf '%s\n' "$said"
	return 1
}
# One commit moves production to the other region. The agent here is told of none, so it renders the one that is active and
# moves at once; that regions take turns is tested elsewhere (docs/regions.md).
to_region() { # FROM TO EPOCH
	"$fairlead" --kubeconfig "$kubeconfig" repoint production --to "$2" --reason 'a test' --repo "$work/infra" || return 1
	grep -q "active: $2" "$work/infra/environments/production/environment.yaml" &&
		grep -q "epoch: $3" "$work/infra/environments/production/environment.yaml" || return 1
	push && ready production || return 1
	[[ $(kubectl -n notejam-production get configmap notejam -o 'jsonpath={.data.REGION}') == "$2" ]] &&
		[[ $(kubectl -n notejam-production get service postgres -o 'jsonpath={.spec.externalName}') == "postgres.$2.notejam.example.internal" ]]
}
# A dependency moves: one line, and no pod is made anew.
repointed() {
	local before
	before=$(kubectl -n bob-production get pods -o 'jsonpath={.items[*].metadata.uid}')
	sed -i 's|value: mysql.production.bob.example.internal|value: mysql-2.production.bob.example.internal|' \
		"$work/infra/overlays/bob-production/bob/kustomization.yaml"
	push && ready bob-production || return 1
	[[ $(kubectl -n bob-production get service database -o 'jsonpath={.spec.externalName}') == mysql-2.* ]] &&
		[[ $(kubectl -n bob-production get pods -o 'jsonpath={.items[*].metadata.uid}') == "$before" ]]
}
for_an_event() {
	sed -i 's|^  - ../../../base/components/zones|  - ../../../base/components/zones\n  - ../../../base/notejam/components/event|; /path: autoscaler.yaml/d' \
		"$work/infra/overlays/production/notejam/kustomization.yaml"
	push && ready production && [[ $(kubectl -n notejam-production get hpa notejam -o 'jsonpath={.spec.maxReplicas}') == 32 ]]
}
rolled_back() {
	"$fairlead" --kubeconfig "$kubeconfig" rollback --env production --app notejam --reason "the event is over" || return 1
	local _
	for _ in {1..80}; do
		[[ $(kubectl -n notejam-production get hpa notejam -o 'jsonpath={.spec.maxReplicas}') == 15 ]] && return 0
		sleep 0.5
	done
	"$fairlead" --kubeconfig "$kubeconfig" status production
	return 1
}
answers_what_it_did() {
	"$fairlead" --kubeconfig "$kubeconfig" status production && "$fairlead" --kubeconfig "$kubeconfig" history --env production
}

commands() {
	check 'a backup, its proof and a re-keying are asked for by hand' backup_by_hand
	check 'a certain archive is restored by hand' restore_by_hand
	check 'a replica is promoted by hand' promote_by_hand
	check 'a cron job of BOB is run by hand' cron_by_hand
	check 'a password is rotated in AWS, and the pods that read it roll' rotated_in_aws
	check 'a Secret is replaced and its readers restarted, and the agent leaves that' rotated_by_hand
	check 'a dependency of BOB moves by one line, and no pod is made anew' repointed
	check 'production moves to the other region by one commit' to_region eu-west-1 eu-central-1 2
	check 'and back' to_region eu-central-1 eu-west-1 3
	check 'room is made for an event' for_an_event
	check 'a person takes that back' rolled_back
	check 'and is told what happened' answers_what_it_did
}
