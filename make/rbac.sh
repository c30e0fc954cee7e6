#!/usr/bin/env bash
# Writes the Role of every environment's deploy account: the kinds that the environment renders to, and nothing more. With
# `check` it only says which of them are not as they should be. FAIRLEAD=... names a built program, so that none is built.
#
#   make/rbac.sh write [ENVIRONMENT...]
#   make/rbac.sh check
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -n ${FAIRLEAD:-} ]]; then
	fairlead=$FAIRLEAD
else
	# shellcheck source=make/tools.sh
	source make/tools.sh
	build_fairlead
fi
tenants=overlays/platform/tenants

# role ENVIRONMENT prints the Role and its binding. The resource of a kind is its plural.
role() {
	local namespace
	namespace=$(sed -n 's/^  namespaces: \[\(.*\)\]$/\1/p' "$tenants/$1/environment.yaml")
	cat <<-YAML
		# Made by make/rbac.sh from what the environment renders to.
		apiVersion: rbac.authorization.k8s.io/v1
		kind: Role
		metadata:
		  name: deploy-$1
		  namespace: $namespace
		rules:
	YAML
	"$fairlead" render --env "$1" -o json | jq -r --arg namespace "$namespace" '
		def plural: ascii_downcase
			| if test("[^aeiou]y$") then sub("y$"; "ies") elif test("(s|x|ch|sh)$") then . + "es" else . + "s" end;
		[.[] | select(.metadata.namespace == $namespace)
			| {group: (if .apiVersion | contains("/") then .apiVersion | split("/")[0] else "" end), resource: (.kind | plural)}]
		| group_by(.group)[]
		| "  - apiGroups: [" + (.[0].group | if . == "" then "\"\"" else . end) + "]",
		  "    resources: [" + (map(.resource) | unique | join(", ")) + "]",
		  "    verbs: [get, create, patch, delete]"'
	cat <<-YAML
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: RoleBinding
		metadata:
		  name: deploy-$1
		  namespace: $namespace
		roleRef:
		  apiGroup: rbac.authorization.k8s.io
		  kind: Role
		  name: deploy-$1
		subjects:
		  - kind: ServiceAccount
		    name: deploy-$1
		    namespace: fairlead
	YAML
}

wrong=0
mode=${1:?write or check}
shift
mapfile -t all < <(find environments -name environment.yaml -printf '%h\n' | sed 's|.*/||' | sort)
(($# > 0)) && all=("$@")
for environment in "${all[@]}"; do
	file=$tenants/$environment/namespace/role.yaml
	case $mode in
	write) role "$environment" >"$file" ;;
	check)
		role "$environment" | diff -u "$file" - || {
			echo "$file is not what $environment needs: run make/rbac.sh write $environment"
			wrong=1
		}
		;;
	esac
done
exit "$wrong"
