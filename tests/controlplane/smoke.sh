#!/usr/bin/env bash
# Starts the test bed and checks with its own kubectl that it behaves as README.md
# says. Prints "N passed, N failed"; ends with 1 when a check failed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${CONTROLPLANE:-$("$here/build.sh")}
work=$(mktemp -d)
passed=0
failed=0
kubeconfig=''
dir=''
pid=''

finish() {
	exec 3>&- || true
	[[ -z $pid ]] || kill "$pid" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT

k() { "$binary" kubectl --kubeconfig "$kubeconfig" "$@"; }

# check NAME COMMAND... runs a check once.
check() {
	local name=$1 begin=$EPOCHREALTIME
	shift
	if "$@" >"$work/output" 2>&1; then
		passed=$((passed + 1))
		printf 'ok    %s (%d ms)\n' "$name" $((${EPOCHREALTIME/./} / 1000 - ${begin/./} / 1000))
	else
		failed=$((failed + 1))
		printf 'FAIL  %s\n' "$name"
		sed 's/^/      /' "$work/output"
	fi
}

# eventually SECONDS COMMAND... repeats it until it succeeds.
eventually() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}

# is EXPECTED KUBECTL-ARGS... compares what kubectl prints.
is() {
	local expected=$1 got
	shift
	got=$(k "$@")
	[[ $got == "$expected" ]] || {
		echo "got '$got', expected '$expected'"
		return 1
	}
}

# has PATTERN KUBECTL-ARGS... looks for a regular expression in what kubectl prints.
has() {
	local pattern=$1 got
	shift
	got=$(k "$@" 2>&1) || true
	grep -Eq -- "$pattern" <<<"$got" || {
		echo "no '$pattern' in: $got"
		return 1
	}
}

# web POD PORT is the HTTP status and body of a pod.
web() {
	local ip
	ip=$(k get pod "$1" -o 'jsonpath={.status.podIP}')
	curl -s -m 3 -w ' %{http_code}' "http://127${ip#10}:$2/"
}
web_has() {
	local got
	got=$(web "$2" "$3" | tr -d '\n')
	grep -Eq -- "$1" <<<"$got" || {
		echo "got: $got"
		return 1
	}
}

first_pod() { k get pods -l "app=$1" -o 'jsonpath={.items[0].metadata.name}'; }

# deployment NAME REPLICAS IMAGE [ANNOTATION-YAML]
deployment() {
	k apply -f - <<-YAML
		apiVersion: apps/v1
		kind: Deployment
		metadata: {name: $1}
		spec:
		  replicas: $2
		  selector: {matchLabels: {app: $1}}
		  template:
		    metadata:
		      labels: {app: $1, app.kubernetes.io/version: v1}
		      annotations: {${4:-}}
		    spec:
		      containers:
		      - {name: main, image: "$3", ports: [{containerPort: 8080}]}
	YAML
}

# job NAME ANNOTATION-YAML
job() {
	k apply -f - <<-YAML
		apiVersion: batch/v1
		kind: Job
		metadata: {name: $1}
		spec:
		  backoffLimit: 0
		  template:
		    metadata: {annotations: {$2}}
		    spec:
		      restartPolicy: Never
		      containers: [{name: main, image: job:1}]
	YAML
}

# pod NAME ANNOTATION-YAML [SPEC-LINE]
pod() {
	k apply -f - <<-YAML
		apiVersion: v1
		kind: Pod
		metadata: {name: $1, annotations: {$2}}
		spec:
		  ${3:-}
		  containers: [{name: main, image: app:1, ports: [{containerPort: 8080}]}]
	YAML
}

claim() { # NAME CLASS
	k apply -f - <<-YAML
		apiVersion: v1
		kind: PersistentVolumeClaim
		metadata: {name: $1}
		spec: {accessModes: [ReadWriteOnce], storageClassName: $2, resources: {requests: {storage: 1Gi}}}
	YAML
}

# command LINE sends a line to the control plane and checks its answer.
command_ok() {
	local answer=''
	echo "$1" >&3
	read -r -t 20 answer <&4
	[[ $answer == *'"ok":true'* ]] || {
		echo "got: $answer"
		return 1
	}
}

## Start ##

mkfifo "$work/in" "$work/out"
begin=$EPOCHREALTIME
TMPDIR=$work "$binary" serve --stop-on-stdin-eof --audit-log "$work/audit" <"$work/in" >"$work/out" &
pid=$!
exec 3>"$work/in" 4<"$work/out"
read -r -t 100 line <&4
echo "ready after $((${EPOCHREALTIME/./} / 1000 - ${begin/./} / 1000)) ms: $line"
field() { sed -n "s|.*\"$1\":\"\\([^\"]*\\)\".*|\\1|p" <<<"$line"; }
kubeconfig=$(field kubeconfig)
dir=$(field dir)

check 'server version' has 'Server Version: v1.36.3' version
check 'three nodes ready' is 'True True True' get nodes -o 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'
check 'client certificate' is 'system:masters' --context certificate auth whoami -o 'jsonpath={.status.userInfo.groups[0]}'
check 'impersonation' is no --as nobody auth can-i get secrets

## Deployments ##

deployment web 3 web:1 >/dev/null
check 'deployment of 3 becomes ready' k rollout status deployment/web --timeout 20s
check 'endpoints' eventually 5 bash -c "[[ \$('$binary' kubectl --kubeconfig '$kubeconfig' get pods -l app=web -o 'jsonpath={.items[*].status.podIP}' | wc -w) == 3 ]]"
check 'http' web_has '"version":"v1".* 200$' "$(first_pod web)" 8080
check 'http names the pod' web_has "\"pod\":\"$(first_pod web)\"" "$(first_pod web)" 8080
k set image deployment/web main=web:2 >/dev/null
check 'rolling update' k rollout status deployment/web --timeout 20s
check 'only the new pods are left' eventually 10 is 'web:2 web:2 web:2' get pods -l app=web -o 'jsonpath={.items[*].spec.containers[0].image}'
k annotate pod "$(first_pod web)" sim.fairlead.dev/http-status=500 >/dev/null
check 'http-status changes a running pod' eventually 3 web_has ' 500$' "$(first_pod web)" 8080

deployment slow 1 slow:1 'sim.fairlead.dev/ready-after: 1500ms' >/dev/null
check 'ready-after: running, not ready' eventually 5 is 'Running False' get pods -l app=slow -o 'jsonpath={.items[0].status.phase} {.items[0].status.conditions[?(@.type=="Ready")].status}'
check 'ready-after: 503 before' web_has ' 503$' "$(first_pod slow)" 8080
check 'ready-after: ready in the end' k rollout status deployment/slow --timeout 10s
deployment never 1 never:1 'sim.fairlead.dev/never-ready: "true"' >/dev/null
check 'never-ready runs' eventually 5 is 'Running' get pods -l app=never -o 'jsonpath={.items[0].status.phase}'
sleep 1
check 'never-ready is not ready' is 'False' get pods -l app=never -o 'jsonpath={.items[0].status.conditions[?(@.type=="Ready")].status}'

## Failures ##

deployment crash 1 crash:1 'sim.fairlead.dev/crash: always, sim.fairlead.dev/exit-code: "7", sim.fairlead.dev/log: "first\npanic: no database"' >/dev/null
check 'crash loop: reason' eventually 10 is 'CrashLoopBackOff' get pods -l app=crash -o 'jsonpath={.items[0].status.containerStatuses[0].state.waiting.reason}'
check 'crash loop: last state' is '7 Error' get pods -l app=crash -o 'jsonpath={.items[0].status.containerStatuses[0].lastState.terminated.exitCode} {.items[0].status.containerStatuses[0].lastState.terminated.reason}'
check 'crash loop: restarts grow' eventually 10 has '^[3-9]$' get pods -l app=crash -o 'jsonpath={.items[0].status.containerStatuses[0].restartCount}'
check 'crash loop: kubectl shows it' eventually 5 has 'CrashLoopBackOff' get pods -l app=crash
check 'crash loop: previous log' has 'panic: no database' logs --previous "$(first_pod crash)"
check 'crash loop: log, last line' is 'panic: no database' logs --tail 1 "$(first_pod crash)"
check 'crash loop: event' eventually 5 has 'BackOff' get events --field-selector "involvedObject.name=$(first_pod crash)"
deployment twice 1 twice:1 'sim.fairlead.dev/crash: "2"' >/dev/null
check 'crash twice, then ready' k rollout status deployment/twice --timeout 15s
check 'crash twice: 2 restarts' is '2' get pods -l app=twice -o 'jsonpath={.items[0].status.containerStatuses[0].restartCount}'
deployment pull 1 registry.example/does-not-exist:1 >/dev/null
check 'image pull: ErrImagePull or back-off' eventually 5 has 'ErrImagePull|ImagePullBackOff' get pods -l app=pull -o 'jsonpath={.items[0].status.containerStatuses[0].state.waiting.reason}'
check 'image pull: back-off' eventually 5 is 'Pending ImagePullBackOff' get pods -l app=pull -o 'jsonpath={.items[0].status.phase} {.items[0].status.containerStatuses[0].state.waiting.reason}'
check 'image pull: logs say why' has 'trying and failing to pull image' logs deployment/pull
pod config '' 'volumes: [{name: c, configMap: {name: late}}]' >/dev/null
check 'missing ConfigMap holds the pod' eventually 5 has 'FailedMount.*late' get events --field-selector involvedObject.name=config
k create configmap late --from-literal a=b >/dev/null
check 'and it starts when that is there' k wait pod/config --for condition=Ready --timeout 10s

pod inits '' 'initContainers: [{name: one, image: init:1}, {name: two, image: init:1}, {name: side, image: side:1, restartPolicy: Always}]' >/dev/null
check 'init containers' k wait pod/inits --for condition=Ready --timeout 10s
check 'init containers: state' is 'Completed Completed ' get pod inits -o 'jsonpath={.status.initContainerStatuses[*].state.terminated.reason} {.status.initContainerStatuses[2].state.terminated.reason}'

## Jobs ##

job good 'sim.fairlead.dev/log: "migrated 12 rows"' >/dev/null
check 'job completes' k wait job/good --for condition=Complete --timeout 15s
check 'job log' has 'migrated 12 rows' logs job/good
job bad 'sim.fairlead.dev/job: fail, sim.fairlead.dev/exit-code: "3"' >/dev/null
check 'job fails' k wait job/bad --for condition=Failed --timeout 15s
check 'job exit code' is 3 get pods -l job-name=bad -o 'jsonpath={.items[0].status.containerStatuses[0].state.terminated.exitCode}'
job long 'sim.fairlead.dev/run-for: 60s' >/dev/null
check 'a long job runs' eventually 10 is Running get pods -l job-name=long -o 'jsonpath={.items[0].status.phase}'
check 'and can be deleted' k delete job/long --cascade=foreground --timeout 10s
check 'with its pods' eventually 5 is '' get pods -l job-name=long -o name

## StatefulSet, DaemonSet, volumes, addresses ##

k apply -f - >/dev/null <<'YAML'
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: main, image: "db:1", ports: [{containerPort: 5432}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers: [{name: main, image: "agent:1"}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: lost, annotations: {sim.fairlead.dev/no-address: "true"}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
YAML
check 'statefulset' k rollout status statefulset/db --timeout 30s
check 'statefulset: claims bound' is 'Bound Bound Bound' get pvc -l app=db -o 'jsonpath={.items[*].status.phase}'
check 'daemonset' k rollout status daemonset/agent --timeout 15s
check 'daemonset: one on each node' is 3 get daemonset agent -o 'jsonpath={.status.numberReady}'
check 'load balancer address' eventually 5 has '^203\.0\.113\.' get service web -o 'jsonpath={.status.loadBalancer.ingress[0].ip}'
check 'ingress address' eventually 5 has '^203\.0\.113\.' get ingress web -o 'jsonpath={.status.loadBalancer.ingress[0].ip}'
check 'no address where none is wanted' is '' get service lost -o 'jsonpath={.status.loadBalancer.ingress[0].ip}'
check 'endpoint slice' eventually 5 is '3' get endpointslices -l kubernetes.io/service-name=web -o 'go-template={{len (index .items 0).endpoints}}'
claim now sim >/dev/null
claim later sim-wffc >/dev/null
claim stuck sim-never >/dev/null
check 'claim: bound' k wait pvc/now --for 'jsonpath={.status.phase}=Bound' --timeout 10s
check 'claim: waits for its first pod' is Pending get pvc later -o 'jsonpath={.status.phase}'
pod user '' 'volumes: [{name: d, persistentVolumeClaim: {claimName: later}}]' >/dev/null
check 'claim: bound by its first pod' k wait pod/user --for condition=Ready --timeout 20s
check 'claim: never bound' is Pending get pvc stuck -o 'jsonpath={.status.phase}'
k delete pvc now --wait=false >/dev/null
check 'volume goes with its claim' eventually 10 bash -c "! '$binary' kubectl --kubeconfig '$kubeconfig' get pv -o 'jsonpath={.items[*].spec.claimRef.name}' | grep -qw now"

## Ends ##

pod stopper 'sim.fairlead.dev/stop-after: 1500ms' >/dev/null
check 'stop-after: starts' k wait pod/stopper --for condition=Ready --timeout 10s
ip=$(k get pod stopper -o 'jsonpath={.status.podIP}')
k delete pod stopper --wait=false >/dev/null
sleep 0.5
check 'stop-after: still answers' curl -sf -m 3 "http://127${ip#10}:8080/"
check 'stop-after: gone in the end' k wait pod/stopper --for delete --timeout 10s
check 'stop-after: answers no more' bash -c "! curl -s -m 3 http://127${ip#10}:8080/"
k create namespace crowd >/dev/null
k -n crowd create deployment many --image many:1 --replicas 100 >/dev/null
check '100 replicas' k -n crowd rollout status deployment/many --timeout 60s
k -n crowd set image deployment/many many=many:2 >/dev/null
check 'rolling update of 100' k -n crowd rollout status deployment/many --timeout 60s
check 'namespace delete finishes' k delete namespace crowd --timeout 60s

check 'compact' command_ok compact
check 'restart-etcd' command_ok restart-etcd
check 'the API answers after it' eventually 10 k get --raw /readyz
check 'and works' eventually 10 k create configmap after-restart
check 'audit log' grep -q '"resource":"deployments"' "$work/audit"

memory=$(sed -n 's/^VmRSS:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null || true)
begin=$EPOCHREALTIME
exec 3>&-
check 'stops at the end of stdin' bash -c "for i in {1..30}; do kill -0 $pid 2>/dev/null || exit 0; sleep 0.1; done; exit 1"
check 'with success' wait "$pid"
echo "stopped after $((${EPOCHREALTIME/./} / 1000 - ${begin/./} / 1000)) ms; memory before: $memory"
pid=''
check 'leaves no folder' bash -c "! ls -d '$work'/fairlead-controlplane-* '$dir' 2>/dev/null"

echo "$passed passed, $failed failed"
((failed == 0))
