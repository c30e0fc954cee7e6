#!/usr/bin/env bash
# shellcheck disable=SC2154 # work and fairlead are those of the script that sources this.
# Sourced by make/demo.sh, after make/stage.sh: a second control plane, an agent in each, and an environment that one commit
# moves from one to the other.

WEST=eu-west-1
CENTRAL=eu-central-1
SHOP=shop
west=''
central=''
second_pid=''
shop_agents=()

# in_region KUBECONFIG COMMAND... runs kubectl there.
in_region() { "$FAIRLEAD_KUBECTL" --kubeconfig "$1" "${@:2}"; }

# start_second_controlplane starts another one beside that of the stage, and sets `central`.
start_second_controlplane() {
	local line=''
	mkfifo "$work/second.in" "$work/second.out"
	setsid "$FAIRLEAD_CONTROLPLANE" serve --stop-on-stdin-eof --nodes 2 \
		<"$work/second.in" >"$work/second.out" 7<&- 8>&- 9>&- &
	second_pid=$!
	exec 6>"$work/second.in" 5<"$work/second.out"
	if ! read -r -t 100 line <&5; then
		echo 'the second control plane did not start' >&2
		return 1
	fi
	central=$(sed -n 's|.*"kubeconfig":"\([^"]*\)".*|\1|p' <<<"$line")
}

# set_region KUBECONFIG: what the platform of a region does once for the team.
set_region() {
	"$fairlead" crd | in_region "$1" apply --server-side -f - >/dev/null
	in_region "$1" wait --for condition=Established crd/environments.fairlead.dev --timeout 20s >/dev/null
	in_region "$1" create namespace fairlead-regions >/dev/null
	in_region "$1" create namespace "$SHOP" >/dev/null
	in_region "$1" -n fairlead-regions create serviceaccount deploy-shop >/dev/null
	in_region "$1" -n "$SHOP" create rolebinding deploy-shop --clusterrole admin \
		--serviceaccount fairlead-regions:deploy-shop >/dev/null
	in_region "$1" create -f - >/dev/null <<-YAML
		apiVersion: fairlead.dev/v1alpha1
		kind: Environment
		metadata: {name: $SHOP}
		spec:
		  source: {url: "file://$work/shop.git", branch: main}
		  serviceAccount: {namespace: fairlead-regions, name: deploy-shop}
		  namespaces: [$SHOP]
		  regions: [$WEST, $CENTRAL]
	YAML
}

# make_shared_place: the table in which the regions meet. It belongs to neither.
make_shared_place() {
	"$FAIRLEAD_MOTO" - <<-'PYTHON'
		import os
		import boto3
		boto3.client("dynamodb", os.environ["AWS_REGION"]).create_table(
		    TableName="fairlead-regions",
		    AttributeDefinitions=[{"AttributeName": "environment", "AttributeType": "S"}],
		    KeySchema=[{"AttributeName": "environment", "KeyType": "HASH"}],
		    BillingMode="PAY_PER_REQUEST",
		)
	PYTHON
}

# make_shop: a repository with one app: what writes, what reads, and what leads traffic to it.
make_shop() {
	git init --quiet --bare "$work/shop.git"
	git init --quiet --initial-branch main "$work/shop"
	mkdir -p "$work/shop/environments/$SHOP" "$work/shop/web" "$work/shop/jobs"
	shop config user.name 'A developer'
	shop config user.email developer@example.org
	shop config commit.gpgsign false
	shop remote add origin "file://$work/shop.git"
	cat >"$work/shop/environments/$SHOP/environment.yaml" <<-YAML
		apiVersion: fairlead.dev/v1alpha1
		kind: EnvironmentConfig
		spec:
		  apps: [{name: web, path: web}]
		  region:
		    active: $WEST
		    standby: [$CENTRAL]
		    epoch: 1
		    objectives: {rto: 15m, rpo: 5m}
		    steps:
		      data: {job: jobs/promote.yaml}
		    readiness:
		      data: {job: jobs/lag.yaml, every: 10s}
	YAML
	cat >"$work/shop/web/web.yaml" <<-'YAML'
		apiVersion: apps/v1
		kind: Deployment
		metadata: {name: web}
		spec:
		  replicas: 2
		  selector: {matchLabels: {app: web}}
		  template:
		    metadata: {labels: {app: web}}
		    spec:
		      containers:
		        - {name: web, image: registry.example/web:1, ports: [{containerPort: 8080}]}
		---
		apiVersion: networking.k8s.io/v1
		kind: Ingress
		metadata: {name: web}
		spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
		---
		apiVersion: v1
		kind: Service
		metadata: {name: web}
		spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
	YAML
	# A simulated node runs nothing: what the Job that measures would print stands in its annotation.
	make_job lag 'sim.fairlead.dev/termination-message: "0"' >"$work/shop/jobs/lag.yaml"
	make_job promote '' >"$work/shop/jobs/promote.yaml"
	commit_shop "The shop, in $WEST"
}

make_job() { # NAME ANNOTATIONS
	cat <<-YAML
		apiVersion: batch/v1
		kind: Job
		metadata: {name: $1}
		spec:
		  backoffLimit: 0
		  template:
		    metadata: {annotations: {$2}}
		    spec:
		      restartPolicy: Never
		      containers: [{name: psql, image: registry.example/psql:1}]
	YAML
}

shop() { git -C "$work/shop" "$@"; }

commit_shop() {
	shop add --all
	shop commit --quiet --message "$1"
	shop push --quiet origin main
}

start_region() { # NAME KUBECONFIG
	"$fairlead" agent --kubeconfig "$2" --namespace fairlead-regions --state-namespace fairlead-regions --env "$SHOP" \
		--cache "$work/cache-$1" --listen 127.0.0.1:0 --poll-interval 1s --git-folders --log-format json \
		--region "$1" --shared-place "dynamodb:$AWS_REGION/fairlead-regions" \
		2>"$work/agent-$1.log" 5<&- 6>&- 7<&- 8>&- 9>&- &
	shop_agents+=("$!")
}

region_is() { # KUBECONFIG JSONPATH EXPECTED
	is "$3" in_region "$1" get environment "$SHOP" -o "jsonpath={.status.region.$2}"
}

wanted_pods() { in_region "$1" -n "$SHOP" get deployment web -o 'jsonpath={.spec.replicas}'; }
leads_traffic() { is "$2" in_region "$1" -n "$SHOP" get ingress -o 'jsonpath={.items[*].metadata.name}'; }

# A simulated pod answers on this machine, by its address with another first number.
answers() { # KUBECONFIG
	local address
	for address in $(in_region "$1" -n "$SHOP" get pods --selector app=web -o 'jsonpath={.items[*].status.podIP}'); do
		curl --fail --silent --max-time 2 "http://127.${address#10.}:8080/" && return
	done
	return 1
}

regions_of() { "$fairlead" --kubeconfig "$1" regions "$SHOP"; }
nothing_missing() { ! regions_of "$central" | grep -qE ' (missing|unknown)'; }
lag_is_known() { regions_of "$central" | grep -qF '0 s behind'; }

regions_act() {
	act 'Another region'
	tell "A second control plane starts: the region $CENTRAL. That of before is $WEST. Each has an agent of its own for the"
	tell 'environment shop; both follow the same git, and meet in a DynamoDB table.'
	west=$kubeconfig
	start_second_controlplane
	set_region "$west"
	set_region "$central"
	make_shared_place
	make_shop
	start_region "$WEST" "$west"
	start_region "$CENTRAL" "$central"
	check "it runs in $WEST" eventually 60 region_is "$west" writers running
	check "in $CENTRAL it is there, and runs nothing" eventually 60 is 0 wanted_pods "$central"
	check "$CENTRAL proves all the time that it could take over" eventually 60 lag_is_known
	check 'nothing that it would need is missing' eventually 60 nothing_missing
	regions_of "$central" | sed 's/^/  /'
	check "the service answers from $WEST" eventually 30 answers "$west"
	tell
	tell "$WEST is to be left. This writes the change of one file, and says what it will begin:"
	tell
	"$fairlead" repoint "$SHOP" --to "$CENTRAL" --reason 'a demonstration' --repo "$work/shop" | sed 's/^/  /'
	commit_shop "Move $SHOP to $CENTRAL"
	local pushed=$SECONDS
	check "the service answers from $CENTRAL" eventually 120 answers "$central"
	tell "That was $((SECONDS - pushed)) s after the push."
	check 'the move is done' eventually 120 region_is "$central" run.state Ended
	check 'and went well' region_is "$central" run.message 'done'
	check "in $WEST no writer is left" is 0 wanted_pods "$west"
	check 'nor what led traffic to it' leads_traffic "$west" ''
	check "traffic is led to $CENTRAL" leads_traffic "$central" web
	tell 'Each step, with its time:'
	regions_of "$central" | sed -n '/re-point/,/^$/p' | sed 's/^/  /'
	stop_regions
}

stop_regions() {
	local pid
	for pid in "${shop_agents[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	shop_agents=()
	[[ -n $second_pid ]] || return 0
	exec 6>&- 5<&-
	for _ in {1..100}; do
		kill -0 "$second_pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$second_pid" 2>/dev/null || true
	wait "$second_pid" 2>/dev/null || true
	second_pid=''
}
