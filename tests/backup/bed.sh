# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # Shared between the scripts beside it, which source this.
# Sourced by run.sh: a PostgreSQL, an object store and keys, and how the programs are run against them.

programs=$PWD/base/backup/programs
work=$(mktemp -d)
chmod 711 "$work"
pids=()

# PostgreSQL refuses root. Root becomes somebody else in a user namespace of its own, where its files stay its own.
as_user=()
if ((EUID == 0)); then
	as_user=(unshare --user "--map-user=$(id -u nobody)" "--map-group=$(id -g nobody)")
fi

close_bed() {
	local status=$? folder
	trap - EXIT INT TERM
	for folder in "$work"/*/postmaster.pid "$work"/*/*/postmaster.pid; do
		[[ ! -e $folder ]] || kill -INT "$(head -n 1 "$folder" 2>/dev/null)" 2>/dev/null || true
	done
	for folder in "$work"/redis-*.pid; do
		# One whose folder is gone would not end by itself.
		[[ ! -e $folder ]] || kill -KILL "$(<"$folder")" 2>/dev/null || true
	done
	((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$work"
	exit "$status"
}
trap close_bed EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# A server of the name, on a socket in a folder of its own; more options may follow.
new_server() { # NAME OPTION...
	mkdir "$work/$1"
	"${as_user[@]}" "$FAIRLEAD_POSTGRES/initdb" -D "$work/$1/data" -U app -A trust -E UTF8 --no-sync >/dev/null
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$work/$1'" 'fsync = off' 'max_wal_size = 4GB' "${@:2}" \
		>>"$work/$1/data/postgresql.conf"
	"${as_user[@]}" "$FAIRLEAD_POSTGRES/pg_ctl" start -s -w -D "$work/$1/data" -l "$work/$1/log" >/dev/null
}
stop_server() { "${as_user[@]}" "$FAIRLEAD_POSTGRES/pg_ctl" stop -s -w -m fast -D "$work/$1/data"; }

# sql SERVER DATABASE SQL
sql() { psql -XqAt -v ON_ERROR_STOP=1 -h "$work/$1" -U app -d "$2" -c "$3"; }
aws() { "$FAIRLEAD_AWS/aws" "$@"; }
s3() { aws s3api "$@" --output json; }

open_bed() {
	local port _
	export PATH=$FAIRLEAD_AWS:$FAIRLEAD_AGE:$FAIRLEAD_POSTGRES:$PATH
	export POSTGRES_BIN=$FAIRLEAD_POSTGRES
	export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=eu-west-1 AWS_MAX_ATTEMPTS=1
	export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
	port=$(free_port)
	export AWS_ENDPOINT_URL=http://127.0.0.1:$port
	"$FAIRLEAD_AWS/moto_server" -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 &
	pids+=($!)
	mkdir "$work/pushed"
	mkfifo "$work/port"
	python3 tests/backup/pushgateway.py "$work/pushed" >"$work/port" &
	pids+=($!)
	read -r port <"$work/port"
	export METRICS_URL=http://127.0.0.1:$port
	for _ in {1..200}; do
		curl -sf "$AWS_ENDPOINT_URL/moto-api/" >/dev/null && break
		sleep 0.2
	done
	age-keygen -o "$work/old.key" 2>/dev/null
	age-keygen -o "$work/new.key" 2>/dev/null
	age-keygen -y "$work/old.key" >"$work/old.pub"
	age-keygen -y "$work/new.key" >"$work/new.pub"
	cat "$work/old.key" "$work/new.key" >"$work/both.key"
	export BACKUP_BUCKET=archives BACKUP_PREFIX=notejam/production BACKUP_NAME=production BACKUP_WORK=$work/tmp
	export BACKUP_RECIPIENTS=$work/old.pub BACKUP_IDENTITIES=$work/old.key
	export PGUSER=app PGHOST=$work/main PGDATABASE=notejam
	mkdir "$work/tmp"
}

# run PROGRAM ARGUMENT... runs one as its pod would.
run() { "${as_user[@]}" "$programs/$1.sh" "${@:2}"; }

# fails WORDS COMMAND... wants a failure with these words, and its metric.
fails() {
	local output status=0 pushed
	touch "$work/before"
	output=$("${@:2}" 2>&1) || status=$?
	printf '%s\n' "$output"
	((status != 0)) || { echo 'it ended with 0' && return 1; }
	[[ $output == *FAILED*"$1"* ]] || { echo "it does not say: $1" && return 1; }
	[[ $output != *': done'* ]] || { echo 'it says that it is done' && return 1; }
	pushed=$(find "$work/pushed" -type f -newer "$work/before")
	if [[ -z $pushed ]] || ! grep -rqx 'backup_run_success 0' "$work/pushed" --include="${pushed##*/}"; then
		echo 'no metric says that it failed'
		return 1
	fi
}

# with NAME=VALUE... -- COMMAND...
with() {
	local NAME
	while [[ $1 != -- ]]; do
		NAME=${1%%=*}
		local -x "$NAME=${1#*=}"
		shift
	done
	shift
	"$@"
}

# on_small_disk SIZE PROGRAM ARGUMENT... runs it with a disk of this size to work on.
on_small_disk() {
	local make=(unshare --mount --propagation private)
	((EUID == 0)) || make=(unshare --user --map-root-user --mount --propagation private)
	# The mount is in a namespace of its own and goes with it.
	# shellcheck disable=SC2016 # The inner shell's.
	"${make[@]}" bash -c 'mount -t tmpfs -o "size=$1,mode=777" tmpfs "$BACKUP_WORK" && exec unshare --user \
		"--map-user=$(id -u nobody)" "--map-group=$(id -g nobody)" "${@:2}"' - "$1" "$programs/$2.sh" "${@:3}"
}

objects() { s3 list-objects-v2 --bucket "$BACKUP_BUCKET" | jq -r '.Contents // [] | .[].Key'; }
newest() { objects | sed -n "s|.*/$1/\(.*\)\.json$|\1|p" | tail -n 1; }
fresh() { # A new empty database on the server spare.
	sql spare postgres "DROP DATABASE IF EXISTS $1 WITH (FORCE)" 2>/dev/null
	sql spare postgres "CREATE DATABASE $1"
}
is_empty() { [[ $(sql spare "$1" "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')") == 0 ]]; }
