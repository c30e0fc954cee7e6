#!/usr/bin/env bash
# Checks charts/fairlead: that its CRD is the one that the program prints, that helm renders it, that an API server takes
# it, that the agent may do with it what it must and nothing that it must not, and that it rolls out an application with
# these rights. `make/chart.sh write` writes the CRD.
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

chart=charts/fairlead
crds=(environments environmentpages driftreports requests)
build_fairlead

if [[ ${1:-} == write ]]; then
	for crd in "${crds[@]}"; do
		"$fairlead" crd "$crd" >"$chart/crds/$crd.yaml"
		echo "$chart/crds/$crd.yaml"
	done
	exit
fi
need helm

work=$(mktemp -d)
trap close_stage EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cat >"$work/values.yaml" <<YAML
replicas: 2
identities:
  - {namespace: $HOME_NAMESPACE, name: deploy-dev}
gitSecrets: [infra-git]
secretNamespaces: [shop]
people: {users: [ada@example.org], groups: [oncall]}
readMore:
  - {apiGroups: [flowcontrol.apiserver.k8s.io], resources: [flowschemas]}
YAML

# helm NAME... with nothing of the user's: no repositories, plugins or settings.
helm() {
	env -i PATH="$PATH" HOME="$work" "$FAIRLEAD_HELM" "$@"
}

crds_are_current() {
	for crd in "${crds[@]}"; do
		diff -u "$chart/crds/$crd.yaml" <("$fairlead" crd "$crd") || {
			echo 'make generate writes it'
			return 1
		}
	done
}
# Between `kubectl auth can-i` and its words stand the account and, where given, the namespace.
may() { [[ $(can "$@") == yes ]] || { echo "it may not"; return 1; }; }
may_not() { [[ $(can "$@") == no ]] || { echo "it may"; return 1; }; }
can() { kubectl auth can-i --as system:serviceaccount:fairlead:fairlead "$@" 2>/dev/null || true; }

check 'the CRDs are what the program prints' crds_are_current
check 'helm lint' helm lint --strict "$chart" --values "$work/values.yaml"
limits_are_known() {
	local limits
	mapfile -t limits < <(helm template fairlead "$chart" --set-json \
		'treeLimits={"max-objects":80000,"max-file-bytes":"16Mi","max-render-time":"120s"}' |
		sed -nE 's/^ +- (--max-.*)$/\1/p')
	[[ ${limits[*]} == '--max-file-bytes=16Mi --max-objects=80000 --max-render-time=120s' ]] || {
		echo "it says ${limits[*]}"
		return 1
	}
	"$fairlead" agent "${limits[@]}" --help >/dev/null
}
check 'the agent knows the limits that the chart sets' limits_are_known
# refuses WORDS OPTION...: helm refuses these values, in these words.
refuses() {
	(! helm template fairlead "$chart" "${@:2}" >"$work/said" 2>&1) && grep -F "$1" "$work/said"
}
check 'a value that is not known is refused' refuses "'identites' not allowed" --set 'identites[0].name=deploy-dev'
check 'an account without a namespace is refused' refuses "'namespace'" --set 'identities[0].name=deploy-dev'
check 'a time that is none is refused' refuses '/history/keep' --set history.keep=soon
is_watched() {
	helm template fairlead "$chart" --set serviceMonitor.enabled=true,serviceMonitor.labels.release=kube |
		grep -A 20 'kind: ServiceMonitor' | grep 'release: kube' || return 1
	(! helm template fairlead "$chart" | grep 'kind: ServiceMonitor')
}
check 'a ServiceMonitor is there where it is asked for' is_watched
# What the agent is told of a history in a database: the URL from the Secret, the password in a file, neither in the open.
history_is_told() {
	local rendered
	rendered=$(helm template fairlead "$chart" --set history.secretName=history,history.passwordKey=password \
		--set history.keep=90d,history.cluster=east) || return 1
	local wanted
	for wanted in '--history-keep=90d' '--cluster=east' '--history-password-file=/etc/fairlead/history/password' \
		'name: FAIRLEAD_HISTORY' 'secretKeyRef: {name: history, key: url}' 'secretName: history'; do
		grep -qF -- "$wanted" <<<"$rendered" || {
			echo "it does not say $wanted"
			return 1
		}
	done
	"$fairlead" agent --history-keep=90d --cluster=east --history-password-file=/none --help >/dev/null
}
check 'the agent is told of the database of its history' history_is_told
# The audit webhook is off unless a Secret is named, and then never without TLS and a way to tell who sends.
audit_is_told() {
	local rendered wanted
	(! helm template fairlead "$chart" | grep audit) || {
		echo 'it listens although nobody asked for it'
		return 1
	}
	rendered=$(helm template fairlead "$chart" --set audit.secretName=audit,audit.tokenKey=token,audit.clientCaKey=ca.crt) ||
		return 1
	for wanted in '--audit-webhook=0.0.0.0:9443' '--audit-webhook-cert=/etc/fairlead/audit/tls.crt' \
		'--audit-webhook-key=/etc/fairlead/audit/tls.key' '--audit-webhook-client-ca=/etc/fairlead/audit/ca.crt' \
		'--audit-webhook-token-file=/etc/fairlead/audit/token' 'name: fairlead-audit' 'port: audit' 'secretName: audit'; do
		grep -qF -- "$wanted" <<<"$rendered" || {
			echo "it does not say $wanted"
			return 1
		}
	done
	"$fairlead" agent --audit-webhook=127.0.0.1:0 --audit-webhook-cert=/none --audit-webhook-key=/none \
		--audit-webhook-client-ca=/none --audit-webhook-token-file=/none --unknown-after=5m --help >/dev/null || return 1
	if helm template fairlead "$chart" --set audit.secretName=audit >/dev/null 2>"$work/said" ||
		! grep -qF 'audit.clientCaKey' "$work/said"; then
		echo 'it is rendered without a way to tell who sends'
		return 1
	fi
}
check 'the agent is told of its audit webhook' audit_is_told
# As people it makes Requests and nothing else, and as nobody of the system.
people_are_bound() {
	local rendered
	rendered=$(helm template fairlead "$chart" --set 'people.users={ada@example.org}') || return 1
	grep -qF 'impersonate-on:user-info:create' <<<"$rendered" || {
		echo 'it may do more as them than make Requests'
		return 1
	}
	(! helm template fairlead "$chart" --set 'people.users={system:admin}' >/dev/null 2>&1) || {
		echo 'it becomes an account of the system'
		return 1
	}
}
check 'as people the agent makes Requests' people_are_bound
# Previews come with an account that is kept to namespaces of theirs, and are off otherwise.
previews_are_bound() {
	local rendered
	rendered=$(helm template fairlead "$chart" --set previews.enabled=true) || return 1
	grep -qF 'name: fairlead-makes-previews' <<<"$rendered" && grep -qF 'begin with preview-' <<<"$rendered" || return 1
	(! helm template fairlead "$chart" | grep -E 'makes-previews|as-previews|begin with preview-')
}
check 'previews are off unless they are asked for' previews_are_bound
check 'helm template with the values as they are' helm template fairlead "$chart" --namespace fairlead
helm template fairlead "$chart" --namespace fairlead --values "$work/values.yaml" --include-crds >"$work/all.yaml"

open_stage >/dev/null
set_stage
kubectl create namespace fairlead >/dev/null
kubectl create namespace shop >/dev/null
# Of pods that are less than restricted, the server warns.
kubectl label namespace fairlead pod-security.kubernetes.io/warn=restricted >/dev/null
taken() {
	kubectl apply --server-side --validate=strict -f "$work/all.yaml" >"$work/said" 2>&1 || {
		cat "$work/said"
		return 1
	}
}
restricted() { (! grep PodSecurity "$work/said"); }
check 'an API server takes all of it' taken
check 'its pods keep to the restricted level' restricted

check 'it watches environments' may watch environments.fairlead.dev
check 'it writes their status' may patch environments.fairlead.dev --subresource status
check 'it keeps their pages' may create environmentpages.fairlead.dev
check 'it writes the DriftReports' may create driftreports.fairlead.dev
check 'it removes no DriftReports' may_not delete driftreports.fairlead.dev
check 'it makes and removes no environments' may_not create environments.fairlead.dev
as_agent() { kubectl --as system:serviceaccount:fairlead:fairlead "$@"; }
kubectl apply --server-side -f - >/dev/null <<'YAML'
apiVersion: fairlead.dev/v1alpha1
kind: Environment
metadata: {name: shop}
spec:
  source: {url: https://git.example/infra.git, branch: main}
  serviceAccount: {namespace: fairlead, name: deploy-production}
  namespaces: [shop]
YAML
check 'it says on an environment where its objects are' as_agent annotate environment shop example.org/kinds=ConfigMap
# A new policy holds a moment after it was made.
changes_no_spec() {
	for _ in {1..50}; do
		as_agent patch environment shop --type merge --dry-run=server --patch '{"spec":{"suspended":true}}' \
			>"$work/said" 2>&1 || break
		sleep 0.2
	done
	grep 'never its spec' "$work/said" || {
		cat "$work/said"
		return 1
	}
}
check 'it does not change what the platform says there' changes_no_spec
check 'it watches requests' may watch requests.fairlead.dev
check 'it says what came of them' may patch requests.fairlead.dev --subresource status
check 'it makes no requests' may_not create requests.fairlead.dev
as_ada() { kubectl --as ada "$@"; }
kubectl create clusterrole ada --verb create --resource requests.fairlead.dev >/dev/null
kubectl create clusterrolebinding ada --clusterrole ada --user ada >/dev/null
ask() {
	printf '{apiVersion: fairlead.dev/v1alpha1, kind: Request, metadata: {name: %s}, spec: {verb: retry, environment: shop, by: %s}}' "$1" "$2" |
		as_ada create -f - >"$work/said" 2>&1
}
# denied WORDS NAME BY asks, and wants to be told no in these words.
denied() {
	local words=$1
	shift
	if ! ask "$@" && grep -F "$words" "$work/said"; then
		return 0
	fi
	cat "$work/said"
	return 1
}
in_no_other_name() {
	denied 'spec.by is to be ada' forged bob
}
not_without_the_verb() {
	denied 'needs create on environments.fairlead.dev/retry, name shop' unasked ada
}
with_the_verb() {
	kubectl create clusterrole ada-retries --verb create --resource environments.fairlead.dev/retry --resource-name shop &&
		kubectl create clusterrolebinding ada-retries --clusterrole ada-retries --user ada || return 1
	for _ in {1..50}; do
		ask allowed ada && return
		sleep 0.2
	done
	cat "$work/said"
	return 1
}
check 'nobody asks in the name of another' in_no_other_name
check 'nobody asks for what they may not do' not_without_the_verb
check 'who may do it asks' with_the_verb
check 'it watches what apps are made of' may watch deployments.apps --all-namespaces
check 'it reads what the values add' may list flowschemas.flowcontrol.apiserver.k8s.io
check 'it reads nothing that they do not add' may_not list prioritylevelconfigurations.flowcontrol.apiserver.k8s.io
check 'it reads git credentials by name' may get secrets/infra-git -n fairlead
check 'it reads no other Secret of its namespace' may_not get secrets/other -n fairlead
check 'it lists no Secrets of its namespace' may_not list secrets -n fairlead
check 'it makes no Secrets of its namespace' may_not create secrets -n fairlead
check 'it keeps what environments remember' may update secrets -n fairlead-state
check 'it lists what environments remember' may list secrets -n fairlead-state
check 'it watches Secrets where it is said' may watch secrets -n shop
check 'it reads no Secrets elsewhere' may_not get secrets -n default
check 'it writes no Secrets' may_not patch secrets -n shop
check 'it becomes the account that is named' may impersonate serviceaccounts/deploy-dev -n "$HOME_NAMESPACE"
check 'it becomes no other account' may_not impersonate serviceaccounts/default -n "$HOME_NAMESPACE"
check 'it becomes no account of another namespace' may_not impersonate serviceaccounts/deploy-dev -n fairlead
check 'it becomes no user' may_not impersonate users
# becomes WORD NAME: whether it may impersonate that person, in the bounded way. `can-i` knows no such resource.
becomes() {
	local said
	said=$(kubectl create -o jsonpath='{.status.allowed}' -f - <<-YAML
		apiVersion: authorization.k8s.io/v1
		kind: SubjectAccessReview
		spec:
		  user: system:serviceaccount:fairlead:fairlead
		  groups: [system:serviceaccounts, system:authenticated]
		  resourceAttributes: {verb: "impersonate:user-info", group: authentication.k8s.io, resource: users, name: $2}
	YAML
	)
	[[ ${said:-false} == "$1" ]] || { echo "it says $said"; return 1; }
}
check 'it becomes those that are named, to make Requests' becomes true ada@example.org
check 'it becomes no others' becomes false eve
check 'it becomes no group' may_not impersonate groups/system:masters
check 'it writes no Deployments' may_not patch deployments.apps -n shop
check 'it creates no pods' may_not create pods -n fairlead
check 'it execs into no pods' may_not create pods --subresource exec -n shop
check 'it grants itself nothing' may_not patch clusterroles.rbac.authorization.k8s.io
check 'it binds nothing' may_not create rolebindings.rbac.authorization.k8s.io -n fairlead
check 'it makes no tokens' may_not create serviceaccounts --subresource token -n fairlead
check 'it writes events about environments' may create events.events.k8s.io -n default
check 'it keeps Leases in its namespace' may update leases.coordination.k8s.io -n fairlead
check 'it keeps no Leases elsewhere' may_not update leases.coordination.k8s.io -n kube-system

# An agent of ours, as the account of the chart.
admin=$kubeconfig
cp "$admin" "$work/kubeconfig"
kubeconfig=$work/kubeconfig
# Where the chart put the agent, and gave it the rights to its heartbeat.
export AGENT_NAMESPACE=fairlead STATE_NAMESPACE=fairlead-state
kubectl config set-credentials agent --token "$(kubectl -n fairlead create token fairlead)" >/dev/null
kubectl config set-context --current --user agent >/dev/null
make_remote
start_agent
kubeconfig=$admin
refused() {
	# The agent itself: what is asked in its name above, to see it refused, is kubectl's.
	! grep -F '"username":"system:serviceaccount:fairlead:fairlead"' "$audit" |
		grep -F '"userAgent":"fairlead/' | grep -F '"code":403'
}
check 'an agent with these rights rolls out an application' \
	kubectl wait --for condition=Ready "environment/$ENVIRONMENT" --timeout 60s
check 'and is refused nothing' refused
conclude ''
