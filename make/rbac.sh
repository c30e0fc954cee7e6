#!/usr/bin/env bash
# Keeps the Role of every environment's account as `fairlead rbac` prints it. With `check` it only says which of them are not.
# FAIRLEAD=... names a built program, so that none is built.
#
#   make/rbac.sh write [ENVIRONMENT...]
#   make/rbac.sh check
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=make/tools.sh
source make/tools.sh
need definitions
if [[ -n ${FAIRLEAD:-} ]]; then fairlead=$FAIRLEAD; else build_fairlead; fi
tenants=overlays/platform/tenants
definitions=()
for file in "$FAIRLEAD_DEFINITIONS"/*.yaml; do definitions+=(--definitions "$file"); done

role() { "$fairlead" rbac --env "$1" --environment-file "$tenants/$1/environment.yaml" "${definitions[@]}"; }

wrong=0
mode=${1:?write or check}
shift
mapfile -t all < <(find environments -name environment.yaml -printf '%h\n' | sed 's|.*/||' | sort)
(($# > 0)) && all=("$@")
for environment in "${all[@]}"; do
	file=$tenants/$environment/namespace/role.yaml
	# All of it before any of it, so that an error leaves the file as it was.
	needed=$(role "$environment")
	case $mode in
	write) printf '%s\n' "$needed" >"$file" ;;
	check)
		diff -u "$file" - <<<"$needed" || {
			echo "$file is not what $environment needs: run make/rbac.sh write $environment"
			wrong=1
		}
		;;
	esac
done
exit "$wrong"
