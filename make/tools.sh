#!/usr/bin/env bash
# Makes sure that everything that building, testing and the demo need is there, and says where it is. Installs what is
# missing, once, at its pinned version, into one cache folder outside the checkout; does nothing, fast, when all is there.
#
# `make install-tools` runs it. Other scripts source it, and then find
#
#   CARGO_TARGET_DIR        where cargo builds
#   FAIRLEAD_CONTROLPLANE   the test bed
#   FAIRLEAD_KUBECTL        its kubectl
#   FAIRLEAD_KUSTOMIZE      the judge of rendering
#   FAIRLEAD_HELM           after `need helm`: what renders the chart
#   FAIRLEAD_CARGO_DENY     after `need deny`
#   FAIRLEAD_MOTO           after `need moto`: the Python that has moto, which stands in for AWS in tests
#   FAIRLEAD_GITHUB_API, FAIRLEAD_GITHUB_WEBHOOKS
#                           after `need github`: what describes GitHub's API, and a folder with examples of its webhooks and
#                           its own library that signs them
#   FAIRLEAD_GFM            after `need gfm`: the Python that has GitHub's renderer of Markdown, and a sanitiser
set -euo pipefail

KUSTOMIZE_VERSION=v5.8.2
HELM_VERSION=v4.3.1
CARGO_DENY_VERSION=0.20.2
CARGO_CYCLONEDX_VERSION=0.5.9
MOTO_VERSION=5.2.5
CMARKGFM_VERSION=2025.10.22
NH3_VERSION=0.3.8
GITHUB_OPENAPI_VERSION=23.0.2
GITHUB_WEBHOOKS_EXAMPLES_VERSION=7.6.1
GITHUB_WEBHOOKS_METHODS_VERSION=6.0.0
# What describes AWS's services, by which requests are judged.
BOTOCORE_VERSION=1.44.8

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fairlead
bin=$cache/bin
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

tell() { printf '%s\n' "$*" >&2; }

# Commands and libraries that come from the distribution, each with its Debian package.
system_packages() {
	local missing=()
	lacks() { ! command -v "$1" >/dev/null && [[ ! -x /usr/sbin/$1 ]]; }
	lacks cc && missing+=(build-essential)
	lacks git && missing+=(git)
	lacks curl && missing+=(curl ca-certificates)
	lacks openssl && missing+=(openssl)
	lacks cmake && missing+=(cmake)
	lacks ssh && missing+=(openssh-client)
	lacks sshd && missing+=(openssh-server)
	lacks gpg && missing+=(gnupg)
	lacks shellcheck && missing+=(shellcheck)
	# libgit2 speaks https and ssh by OpenSSL.
	if lacks pkg-config; then
		missing+=(pkg-config libssl-dev)
	elif ! pkg-config --exists openssl; then
		missing+=(libssl-dev)
	fi
	((${#missing[@]} == 0)) || from_the_distribution "${missing[@]}"
}

from_the_distribution() { # PACKAGE...
	local missing=("$@")
	if ! command -v apt-get >/dev/null; then
		tell "these are missing, and this is not a Debian machine; install them: ${missing[*]}"
		return 1
	fi
	local as_root=()
	if ((EUID != 0)); then
		if ! sudo -n true 2>/dev/null; then
			tell "these are missing; install them first: sudo apt-get install ${missing[*]}"
			return 1
		fi
		as_root=(sudo -n)
	fi
	tell "installing ${missing[*]}"
	"${as_root[@]}" apt-get update -qq >&2
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

languages() {
	local language
	for language in cargo go; do
		if ! command -v "$language" >/dev/null; then
			tell "$language is missing: see CONTRIBUTING.md for the versions of Rust and Go that are needed"
			return 1
		fi
	done
}

# installed NAME VERSION COMMAND... runs the command unless this version was installed before. The stamp says which is
# there, so that nothing has to be started to find out.
installed() {
	local name=$1 version=$2 stamp=$bin/.$1-$2
	shift 2
	[[ -x $bin/$name && -e $stamp ]] && return 0
	mkdir -p "$bin"
	(
		# Two callers at once must not both build.
		flock 9
		[[ -x $bin/$name && -e $stamp ]] && exit 0
		tell "building $name $version (once, some minutes)"
		rm -f "$bin/.$name"-*
		"$@" >&2 && touch "$stamp"
	) 9>"$bin/.lock"
}

go_tool() { # NAME MODULE VERSION
	installed "$1" "$3" env GOBIN="$bin" GOFLAGS= GOWORK=off go install "$2@$3"
}

cargo_tool() { # NAME VERSION
	installed "$1" "$2" cargo install --locked --quiet --root "$cache" "$1@$2"
}

# python_packages FOLDER PACKAGE... makes a virtual environment that has these packages, once.
python_packages() {
	local folder=$1
	shift
	[[ -e $folder/.complete ]] && return 0
	(
		flock 9
		[[ -e $folder/.complete ]] && exit 0
		# Debian ships Python without what makes such an environment.
		python3 -c 'import ensurepip, venv' 2>/dev/null || from_the_distribution python3 python3-venv
		tell "installing $* (once)"
		python3 -m venv --clear "$folder" >&2
		"$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
		touch "$folder/.complete"
	) 9>"$folder.lock"
}

# github_description FOLDER brings GitHub's own description of its API, of which only what the tests judge by is kept, and
# examples of its webhooks.
github_description() {
	local folder=$1
	[[ -e $folder/.complete ]] && return 0
	mkdir -p "$folder"
	(
		flock 9
		[[ -e $folder/.complete ]] && exit 0
		command -v npm >/dev/null || from_the_distribution npm
		tell "fetching GitHub's description of its API (once)"
		cd "$folder"
		echo '{"private": true}' >package.json
		npm install --silent --no-audit --no-fund --ignore-scripts "@octokit/openapi@$GITHUB_OPENAPI_VERSION" \
			"@octokit/webhooks-examples@$GITHUB_WEBHOOKS_EXAMPLES_VERSION" \
			"@octokit/webhooks-methods@$GITHUB_WEBHOOKS_METHODS_VERSION" >&2
		node "$repository/tests/forge/extract.js" node_modules/@octokit/openapi/generated/api.github.com.json >github.json
		rm -r node_modules/@octokit/openapi
		touch .complete
	) 9>"$folder.lock"
}

# module_folder MODULE VERSION says where the files of a Go module are.
module_folder() {
	(cd "$cache" && env GOFLAGS= GOWORK=off go mod download -json "$1@$2") | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

# operators_definitions FOLDER brings the definitions of the kinds that the infra tree has and Kubernetes has not, as their
# operators publish them.
operators_definitions() {
	local folder=$1 from
	[[ -e $folder/.complete ]] && return 0
	mkdir -p "$folder"
	(
		flock 9
		[[ -e $folder/.complete ]] && exit 0
		tell 'fetching the definitions of operators (once)'
		from=$(module_folder sigs.k8s.io/gateway-api "$GATEWAY_API_VERSION")/config/crd/standard
		cp "$from"/gateway.networking.k8s.io_{gateways,httproutes}.yaml "$folder"
		from=$(module_folder github.com/prometheus-operator/prometheus-operator "$PROMETHEUS_OPERATOR_VERSION")/example
		cp "$from"/prometheus-operator-crd/monitoring.coreos.com_{alertmanagerconfigs,alertmanagers,podmonitors,probes}.yaml \
			"$from"/prometheus-operator-crd/monitoring.coreos.com_{prometheuses,prometheusrules,servicemonitors}.yaml "$folder"
		cp "$(module_folder github.com/kedacore/keda/v2 "$KEDA_VERSION")/config/crd/bases/keda.sh_scaledobjects.yaml" "$folder"
		chmod u+w "$folder"/*.yaml
		touch "$folder/.complete"
	) 9>"$folder.lock"
}

system_packages
languages
FAIRLEAD_CONTROLPLANE=${FAIRLEAD_CONTROLPLANE:-$("$repository/tests/controlplane/build.sh")}
FAIRLEAD_KUBECTL=$(dirname "$FAIRLEAD_CONTROLPLANE")/kubectl
go_tool kustomize sigs.k8s.io/kustomize/kustomize/v5 "$KUSTOMIZE_VERSION"
FAIRLEAD_KUSTOMIZE=$bin/kustomize
export FAIRLEAD_CONTROLPLANE FAIRLEAD_KUBECTL FAIRLEAD_KUSTOMIZE

# What judges the infra tree and tries its backups (make infra-test, make backup-test):
#
#   FAIRLEAD_AWS            after `need aws`: a folder with the AWS command line and moto's server
#   FAIRLEAD_AGE            after `need age`: a folder with age and age-keygen
#   FAIRLEAD_POSTGRES       after `need postgres`: the folder of PostgreSQL's programs
#   FAIRLEAD_PROMTOOL, FAIRLEAD_KUBECONFORM, FAIRLEAD_KUBE_SCORE, FAIRLEAD_CHECKOV, FAIRLEAD_TRIVY
#                           after `need promtool` and so on
#   FAIRLEAD_DEFINITIONS    after `need definitions`: a folder with the CustomResourceDefinitions of the operators that the infra
#                           tree needs, each in a file of its own
AGE_VERSION=v1.3.2
# 3.16 of Prometheus: its Go module counts otherwise.
PROMTOOL_VERSION=v0.316.0
KUBECONFORM_VERSION=v0.8.0
KUBE_SCORE_VERSION=v1.20.0
TRIVY_VERSION=v0.74.0
GATEWAY_API_VERSION=v1.5.1
PROMETHEUS_OPERATOR_VERSION=v0.85.0
KEDA_VERSION=v2.21.0
AWSCLI_VERSION=1.46.3
MOTO_S3_VERSION=5.2.5
CHECKOV_VERSION=3.3.30

# need TOOL... makes sure of tools that not everything needs.
need() {
	local tool
	for tool in "$@"; do
		case $tool in
		helm)
			go_tool helm helm.sh/helm/v4/cmd/helm "$HELM_VERSION"
			export FAIRLEAD_HELM=$bin/helm
			;;
		aws)
			mkdir -p "$cache"
			python_packages "$cache/aws-$AWSCLI_VERSION-$MOTO_S3_VERSION" \
				"awscli==$AWSCLI_VERSION" "moto[server,s3]==$MOTO_S3_VERSION"
			export FAIRLEAD_AWS=$cache/aws-$AWSCLI_VERSION-$MOTO_S3_VERSION/bin
			;;
		age)
			go_tool age filippo.io/age/cmd/age "$AGE_VERSION"
			go_tool age-keygen filippo.io/age/cmd/age-keygen "$AGE_VERSION"
			export FAIRLEAD_AGE=$bin
			;;
		postgres)
			local packages=()
			command -v zstd >/dev/null || packages+=(zstd)
			command -v jq >/dev/null || packages+=(jq)
			compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)
			((${#packages[@]} == 0)) || from_the_distribution "${packages[@]}"
			FAIRLEAD_POSTGRES=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
			export FAIRLEAD_POSTGRES
			;;
		redis)
			command -v redis-server >/dev/null || from_the_distribution redis-server
			;;
		promtool)
			go_tool promtool github.com/prometheus/prometheus/cmd/promtool "$PROMTOOL_VERSION"
			export FAIRLEAD_PROMTOOL=$bin/promtool
			;;
		kubeconform)
			go_tool kubeconform github.com/yannh/kubeconform/cmd/kubeconform "$KUBECONFORM_VERSION"
			export FAIRLEAD_KUBECONFORM=$bin/kubeconform
			;;
		kube-score)
			go_tool kube-score github.com/zegl/kube-score/cmd/kube-score "$KUBE_SCORE_VERSION"
			export FAIRLEAD_KUBE_SCORE=$bin/kube-score
			;;
		trivy)
			# It reads JSON by what is still an experiment of Go's.
			GOEXPERIMENT=jsonv2 go_tool trivy github.com/aquasecurity/trivy/cmd/trivy "$TRIVY_VERSION"
			export FAIRLEAD_TRIVY=$bin/trivy
			;;
		definitions)
			FAIRLEAD_DEFINITIONS=$cache/definitions-$GATEWAY_API_VERSION-$PROMETHEUS_OPERATOR_VERSION-$KEDA_VERSION
			operators_definitions "$FAIRLEAD_DEFINITIONS"
			export FAIRLEAD_DEFINITIONS
			;;
		checkov)
			mkdir -p "$cache"
			python_packages "$cache/checkov-$CHECKOV_VERSION" "checkov==$CHECKOV_VERSION"
			export FAIRLEAD_CHECKOV=$cache/checkov-$CHECKOV_VERSION/bin/checkov
			;;
		deny)
			cargo_tool cargo-deny "$CARGO_DENY_VERSION"
			export FAIRLEAD_CARGO_DENY=$bin/cargo-deny
			;;
		cyclonedx)
			cargo_tool cargo-cyclonedx "$CARGO_CYCLONEDX_VERSION"
			command -v jq >/dev/null || from_the_distribution jq
			export FAIRLEAD_CARGO_CYCLONEDX=$bin/cargo-cyclonedx
			;;
		moto)
			python_packages "$cache/moto-$MOTO_VERSION" \
				"moto[server,secretsmanager,ssm,sts,sqs,events]==$MOTO_VERSION" "botocore==$BOTOCORE_VERSION"
			export FAIRLEAD_MOTO=$cache/moto-$MOTO_VERSION/bin/python
			;;
		github)
			mkdir -p "$cache"
			# What is extracted is part of the name: with another extract.js it is extracted anew.
			local extract
			extract=$(sha256sum "$repository/tests/forge/extract.js")
			FAIRLEAD_GITHUB_WEBHOOKS=$cache/github-$GITHUB_OPENAPI_VERSION-$GITHUB_WEBHOOKS_EXAMPLES_VERSION-${extract:0:8}
			github_description "$FAIRLEAD_GITHUB_WEBHOOKS"
			FAIRLEAD_GITHUB_API=$FAIRLEAD_GITHUB_WEBHOOKS/github.json
			export FAIRLEAD_GITHUB_API FAIRLEAD_GITHUB_WEBHOOKS
			;;
		gfm)
			mkdir -p "$cache"
			python_packages "$cache/gfm-$CMARKGFM_VERSION-$NH3_VERSION" \
				"cmarkgfm==$CMARKGFM_VERSION" "nh3==$NH3_VERSION"
			export FAIRLEAD_GFM=$cache/gfm-$CMARKGFM_VERSION-$NH3_VERSION/bin/python
			;;
		*)
			tell "make/tools.sh knows no tool $tool"
			return 2
			;;
		esac
	done
}

# build_fairlead builds the program, with progress on a terminal, and sets `fairlead`.
build_fairlead() {
	local quiet=()
	[[ -t 2 ]] || quiet=(--quiet)
	cargo build --locked "${quiet[@]}"
	# shellcheck disable=SC2034 # Used by the scripts that source this.
	fairlead=$CARGO_TARGET_DIR/debug/fairlead
}

# Called as a command, it takes the names of such tools.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	need "$@"
fi
