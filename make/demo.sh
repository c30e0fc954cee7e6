#!/usr/bin/env bash
# Shows what Fairlead does, on a real API server: a first rollout wave by wave, a commit that rolls out, a bad commit that
# is refused with nothing written, edits by hand that are seen and put back, a fight, a hold, a preview of a pull request, a
# secret that is rotated, a pull request from its report to its rollout, and a move to another region. Each step says what
# happens and checks that it did.
#
#   CI=1                 unattended: no pauses, no questions
#   DEMO_KUBECONFIG=...  a cluster of yours instead of one of our own (make demo KUBECONFIG=...)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh
# shellcheck source=make/checks.sh
source make/checks.sh
# shellcheck source=make/controlplane.sh
source make/controlplane.sh
# shellcheck source=make/stage.sh
source make/stage.sh
# shellcheck source=make/demo_regions.sh
source make/demo_regions.sh

tell() { printf '%s\n' "$*"; }

act() {
	if [[ -z ${CI:-} && -t 0 && -t 1 ]]; then
		read -r -s -t 10 -p '(Enter goes on) ' || true
		printf '\r%17s\r' ''
	fi
	printf '\n== %s\n' "$1"
}

# eventually SECONDS COMMAND... repeats it until it succeeds.
eventually() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= end)); then
			"$@" && return 0
			echo "it did not happen in time; the environment says:"
			"$fairlead" --kubeconfig "$kubeconfig" status "$ENVIRONMENT" || true
			return 1
		fi
		sleep 0.2
	done
}

ready_at() { # SECONDS COMMIT
	"$fairlead" --kubeconfig "$kubeconfig" wait --env "$ENVIRONMENT" --revision "$2" --timeout "$1s"
}
condition() { kubectl get environment "$ENVIRONMENT" -o "jsonpath={.status.conditions[?(@.type==\"Ready\")].$1}"; }
deployment() { kubectl -n "$NAMESPACE" get deployment notejam -o "jsonpath=$1"; }
is() { # EXPECTED COMMAND...
	local got
	got=$("${@:2}")
	[[ $got == "$1" ]] || {
		echo "it is '$got', not '$1'"
		return 1
	}
}
contains() { # TEXT COMMAND...
	local got
	got=$("${@:2}")
	[[ $got == *"$1"* ]] || {
		echo "no '$1' in: $got"
		return 1
	}
}
event() { # REASON
	kubectl get events --namespace default --field-selector "involvedObject.kind=Environment,reason=$1" \
		-o 'jsonpath={range .items[*]}{.message}{"\n"}{end}'
}
at_revision() { is "$1" kubectl get environment "$ENVIRONMENT" -o 'jsonpath={.status.revision}'; }

work=$(mktemp -d)
trap close_stage EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tell 'Building fairlead (minutes the first time).'
build_fairlead
begin=$SECONDS

act 'The stage'
open_stage
set_stage
make_remote
need moto
start_moto
tell "A git remote holds environments/, base/ and overlays/ of this repository, on the branch env/dev."
tell "The Environment $ENVIRONMENT says: follow it, write as deploy-dev, into $NAMESPACE and nowhere else."

act 'What would happen'
tell "Before anything is written, the server is asked about each object. This is the plan:"
tell
plan_it() { "$fairlead" --kubeconfig "$kubeconfig" plan --env "$ENVIRONMENT" --repo "$work/infra"; }
plan_status=0
PAGER='' plan_it || plan_status=$?
check 'the plan says that there are changes (exit code 3)' is 3 echo "$plan_status"
check 'planning wrote nothing' is '' applied

act 'A first rollout, wave by wave'
tell "The agent starts. It finds the commit, proves all of it, then writes one wave after the other;"
tell "a wave is written when what the one before it changed is healthy."
start_agent
check 'the environment is ready' eventually 60 ready_at 50 "$(head_commit)"
check 'two pods are ready' is 2 deployment '{.status.readyReplicas}'
tell
# PostgreSQL and Redis are apps of their own, which roll out before it.
in_waves() { # Ranks in the order of writing: access and policy, configuration, workloads, routes.
	awk '{
		rank = tolower($1) ~ /^(serviceaccount|networkpolic)/ ? 1 : tolower($1) ~ /^deployment/ ? 3 : tolower($1) ~ /^ingress/ ? 4 : 2
		if (rank < last) { print "after a later wave: " $0; exit 1 }
		last = rank
	}'
}
in_order() {
	if [[ -n $audit ]]; then
		written 0 | grep ' notejam$' | in_waves
	else
		# Resource versions grow with each write. A budget's status is written later, so it is left out.
		kubectl -n "$NAMESPACE" get serviceaccounts,networkpolicies,configmaps,services,deployments \
			--selector "fairlead.dev/environment=$ENVIRONMENT,app.kubernetes.io/part-of=notejam" \
			-o 'jsonpath={range .items[*]}{.metadata.resourceVersion} {.kind}{"\n"}{end}' |
			sort -n | cut -d ' ' -f 2 | in_waves
	fi
}
if [[ -n $audit ]]; then
	tell 'The audit log of the API server has these writes, in this order:'
	written 0 | sed 's/^/  /'
fi
check 'configuration was written before what reads it' in_order

act 'A commit'
tell 'A developer raises the image to 1.28-alpine and pushes.'
before=$(applied)
lines=$(audit_lines)
sed -i 's/newTag: .*/newTag: 1.28-alpine/' "$work/infra/overlays/dev/notejam/kustomization.yaml"
tell 'Before that they ask what it will do. This is what a pull request would be told, risks first:'
tell
report() {
	"$fairlead" --kubeconfig "$kubeconfig" report --env "$ENVIRONMENT" --against HEAD --repo "$work/infra" || (($? == 3))
}
report | sed 's/^/  /'
check 'the report names the image that changes' contains 1.28-alpine report
commit 'Raise the image of notejam in dev'
check 'the commit is rolled out' eventually 60 ready_at 50 "$(head_commit)"
check 'the Deployment has the new image' \
	is nginxinc/nginx-unprivileged:1.28-alpine deployment '{.spec.template.spec.containers[0].image}'
check 'its pods were replaced' is '2 2' deployment '{.status.updatedReplicas} {.status.readyReplicas}'
others() { grep -v ' Deployment ' <<<"$1"; }
check 'nothing else was written' is "$(others "$before")" others "$(applied)"
if [[ -n $audit ]]; then
	check 'it took one write' is 'deployments notejam' written "$lines"
fi

act 'A bad commit'
tell 'The next commit changes two things: the configuration, and a field with a typing error (readinessProb).'
before=$(applied)
lines=$(audit_lines)
sed -i 's/SIGN_UP: open/SIGN_UP: closed/' "$work/infra/overlays/dev/notejam/configmap.yaml"
sed -i 's/readinessProbe:/readinessProb:/' "$work/infra/base/notejam/deployment.yaml"
commit 'Close the sign-up, and break the probe'
check 'the commit is refused' eventually 30 is Refused condition reason
check 'and it is this commit' eventually 5 at_revision "$(head_commit)"
check 'the reason names the file' contains base/notejam/deployment.yaml condition message
check 'the reason names the field' contains readinessProb condition message
tell
tell "  $(condition message)"
tell
check 'nothing was written, not even the configuration' is "$before" applied
if [[ -n $audit ]]; then
	check 'the server was asked' contains deployments tried "$lines"
	check 'the audit log has no write' is '' written "$lines"
fi
check 'the application runs on' is 2 deployment '{.status.readyReplicas}'
tell 'The developer reverts it.'
infra revert --no-edit HEAD >/dev/null
infra push --quiet origin env/dev
check 'the environment is ready again' eventually 30 ready_at 25 "$(head_commit)"
check 'for which nothing had to be written' is "$before" applied

act 'Edits by hand'
tell 'Someone scales the Deployment to 5, past git.'
kubectl -n "$NAMESPACE" scale deployment notejam --replicas 5 >/dev/null
check 'it is put back to 2' eventually 15 is 2 deployment '{.spec.replicas}'
check 'an event names the object and the field' eventually 10 contains spec.replicas event Drifted
tell 'Someone else edits the configuration.'
kubectl -n "$NAMESPACE" patch configmap notejam --type merge --patch '{"data":{"LOG_LEVEL":"trace"}}' >/dev/null
check 'it is put back to debug' \
	eventually 15 is debug kubectl -n "$NAMESPACE" get configmap notejam -o 'jsonpath={.data.LOG_LEVEL}'
check 'the environment is ready' eventually 30 ready_at 25 "$(head_commit)"
check 'the plan has no changes left' plan_it
tell 'A robot sets the replicas again and again.'
fight() {
	for _ in {1..60}; do
		is 2 deployment '{.spec.replicas}' &&
			kubectl -n "$NAMESPACE" patch deployment notejam --type merge --field-manager robot \
				--patch '{"spec":{"replicas":4}}' >/dev/null
		contains robot event Fight && return
		sleep 0.1
	done
	return 1
}
check 'it is put back ever more rarely, and the fight is told with the name of the robot' fight
check 'once the robot is gone it is 2' eventually 30 is 2 deployment '{.spec.replicas}'
tell 'An incident: somebody asks for an hour in which nothing of the Deployment is put back.'
"$fairlead" --kubeconfig "$kubeconfig" hold "$ENVIRONMENT" --object "Deployment.apps $NAMESPACE/notejam" --for 1h \
	--reason 'an incident'
kubectl -n "$NAMESPACE" scale deployment notejam --replicas 3 >/dev/null
what_drifted() { "$fairlead" --kubeconfig "$kubeconfig" drift "$ENVIRONMENT" --repo "$work/infra" || (($? == 3)); }
check 'it stays, and who asks sees it, and who holds it' eventually 10 contains 'held by kubectl' what_drifted
what_drifted | sed 's/^/  /'
held() { "$fairlead" --kubeconfig "$kubeconfig" status "$ENVIRONMENT" | grep -q 'which is held by .*an incident'; }
check 'the status says who holds it and why' eventually 10 held
"$fairlead" --kubeconfig "$kubeconfig" release "$ENVIRONMENT"
check 'released, it is put back to 2' eventually 30 is 2 deployment '{.spec.replicas}'
timeline() {
	"$fairlead" history --history "sqlite:$work/cache/history.sqlite" --since 1h --kind drift,events
}
tell 'The history has all of it: who, what, when, and what was done about it.'
check 'with the values, the manager and the hold' \
	eventually 10 contains 'an incident' timeline
timeline | sed 's/^/  /'

act 'A preview'
tell 'The base branch says that a pull request with a label gets an environment of its own. A developer opens one.'
infra checkout --quiet -b closed-sign-up
sed -i 's/SIGN_UP: open/SIGN_UP: closed/' "$work/infra/overlays/dev/notejam/configmap.yaml"
infra commit --quiet --all --message 'Close the sign-up in dev'
infra push --quiet origin closed-sign-up
infra checkout --quiet env/dev
try_out=$work/pulls/infra/6
printf 'title: Close the sign-up\nhead: closed-sign-up\nbase: env/dev\nlabels: [preview]\n' >"$try_out.yaml"
check 'it gets one, which is healthy' eventually 90 contains '**healthy**' cat "$try_out.md"
sign_up() { kubectl -n "$1" get configmap notejam -o 'jsonpath={.data.SIGN_UP}'; }
check 'it is what the merge would be' is closed sign_up "$PREVIEW"
check 'dev itself is as it was' is open sign_up "$NAMESPACE"
what_bounds() { kubectl -n "$PREVIEW" get resourcequotas,limitranges,networkpolicies -o name; }
check 'it has a quota, and a policy that lets nothing out' contains networkpolicy.networking.k8s.io/fairlead-preview what_bounds
what_bounds | sed 's/^/  /'
tell 'The pull request is closed.'
printf 'title: Close the sign-up\nhead: closed-sign-up\nbase: env/dev\nlabels: [preview]\nstate: closed\n' >"$try_out.yaml"
nothing_left() {
	is '' kubectl get namespace "$PREVIEW" --ignore-not-found -o name &&
		is '' kubectl get environment "$PREVIEW" --ignore-not-found -o name
}
check 'nothing is left of it' eventually 60 nothing_left

act 'A secret'
tell 'The database password is kept in AWS Secrets Manager (moto stands in for AWS here). Git holds a reference to it:'
tell
cat >"$work/infra/overlays/dev/notejam/secret.yaml" <<'YAML'
apiVersion: v1
kind: Secret
metadata: {name: notejam-db}
stringData:
  url: "postgres://notejam:${aws-sm:notejam/dev/db#password}@db/notejam"
YAML
cat >"$work/infra/overlays/dev/notejam/reads-secret.yaml" <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: notejam}
spec:
  template:
    spec:
      containers:
        - name: web
          env: [{name: DATABASE_URL, valueFrom: {secretKeyRef: {name: notejam-db, key: url}}}]
YAML
sed 's/^/  /' "$work/infra/overlays/dev/notejam/secret.yaml"
sed -i -e 's#^  - ../../../base/notejam$#&\n  - secret.yaml#' -e 's#^patches:#&\n  - path: reads-secret.yaml#' \
	"$work/infra/overlays/dev/notejam/kustomization.yaml"
put_secret notejam/dev/db '{"password": "first-hidden-word"}'
commit 'Read the database password from Secrets Manager'
check 'the commit is rolled out' eventually 60 ready_at 50 "$(head_commit)"
database_url() { kubectl -n "$NAMESPACE" get secret notejam-db -o 'jsonpath={.data.url}' | base64 --decode; }
check 'the Secret holds the value' is 'postgres://notejam:first-hidden-word@db/notejam' database_url
tell 'Someone rotates the password in AWS. Nothing is committed.'
generation=$(deployment '{.metadata.generation}')
put_secret notejam/dev/db '{"password": "second-hidden-word"}'
check 'the Secret holds the new value' eventually 30 is 'postgres://notejam:second-hidden-word@db/notejam' database_url
rolled() { (($(deployment '{.metadata.generation}') > generation)); }
check 'the pods that read it are rolled' eventually 30 rolled
old_may_go() { "$fairlead" --kubeconfig "$kubeconfig" secrets "$ENVIRONMENT" notejam/dev/db | grep -q 'may be revoked:'; }
check 'and once they are well the old password may be revoked' eventually 60 old_may_go
"$fairlead" --kubeconfig "$kubeconfig" secrets "$ENVIRONMENT" notejam/dev/db
nowhere() { ! grep -rqE 'hidden-word' "$work/agent.log" "$work/infra" "$work/cache"; }
check 'no value is in git, the log or the cache of the agent' nowhere

act 'A pull request'
tell 'A developer proposes on a branch that less is logged. A folder stands in for the forge:'
pulls=$work/pulls/infra
infra checkout --quiet -b less-log
sed -i 's/LOG_LEVEL: debug/LOG_LEVEL: info/' "$work/infra/overlays/dev/notejam/configmap.yaml"
infra commit --quiet --all --message 'Log less in dev'
infra push --quiet origin less-log
proposed=$(head_commit)
infra checkout --quiet env/dev
printf 'title: Log less in dev\nhead: less-log\nbase: env/dev\n' >"$pulls/7.yaml"
check 'the pull request is told what the merge would do' eventually 60 contains LOG_LEVEL cat "$pulls/7.md"
grep -v '^<!--' "$pulls/7.md" | sed 's/^/  /'
check 'its commit has a status, which branch protection can ask for' \
	eventually 10 contains success cat "$pulls/statuses/$proposed.json"
tell 'It is merged.'
infra merge --quiet --no-ff --no-edit less-log
infra push --quiet origin env/dev
printf 'title: Log less in dev\nhead: less-log\nbase: env/dev\nstate: merged\nrevision: %s\n' "$(head_commit)" >"$pulls/7.yaml"
check 'the merge is rolled out' eventually 60 ready_at 50 "$(head_commit)"
check 'the comment says what became of it' eventually 60 contains 'merged, applied and healthy' cat "$pulls/7.md"
check 'and that it is what was shown' contains '| yes |' cat "$pulls/7.md"

# A cluster of yours has no second one beside it.
[[ -n ${DEMO_KUBECONFIG:-} ]] || regions_act

act 'Where it stands'
"$fairlead" --kubeconfig "$kubeconfig" status "$ENVIRONMENT"
tell
kubectl get events --namespace default --field-selector involvedObject.kind=Environment \
	--sort-by .metadata.creationTimestamp -o custom-columns=TYPE:.type,REASON:.reason,MESSAGE:.message
tell
tell "That took $((SECONDS - begin)) s. The log of the agent was $(wc -l <"$work/agent.log") lines."
gone() { ! kill -0 "$agent_pid"; }
kill -TERM "$agent_pid"
check 'the agent hands over when it is told to end' eventually 20 gone
echo
conclude 'demo: '
