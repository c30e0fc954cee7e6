# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of bed.sh.
# Sourced by run.sh: the Jobs by which production moves to another region, taken out of their files and run as their pods would
# run them. moto stands in for RDS.

jobs=environments/production/region
# script FILE: the last of its command.
script() { awk '/^            - \|$/ {inside = 1; next} inside && !/^                / {exit} inside {print substr($0, 17)}' "$jobs/$1.yaml"; }
job() { # FILE NAME=VALUE...
	env FAIRLEAD_REGION=eu-central-1 FAIRLEAD_REGION_FROM=eu-west-1 FAIRLEAD_REGION_EPOCH=2 "${@:2}" timeout "${deadline:-120}" bash -euc "$(script "$1")"
}
# gives_up COMMAND...: the cluster ends a Job after its time.
gives_up() { deadline=3 "$@"; }
rds() { aws rds "$@" --region eu-central-1 --output json; }

promotes_once() {
	local said
	aws rds create-db-instance --region eu-west-1 --db-instance-identifier notejam-eu-west-1 --engine postgres \
		--db-instance-class db.t3.small --allocated-storage 20 --master-username app --master-user-password password >/dev/null &&
		rds create-db-instance-read-replica --db-instance-identifier notejam-eu-central-1 \
			--source-db-instance-identifier arn:aws:rds:eu-west-1:123456789012:db:notejam-eu-west-1 >/dev/null || return 1
	said=$(job promote) || return 1
	[[ $said == *'notejam-eu-central-1 is promoted' ]] || { printf '%s\n' "$said" && return 1; }
	# One that takes writes is left alone, as by an attempt after one that was cut off.
	said=$(job promote FAIRLEAD_REGION=eu-west-1) || return 1
	[[ $said == *'takes writes already' ]] || { printf '%s\n' "$said" && return 1; }
}
no_replica_is_a_failure() { ! job promote FAIRLEAD_REGION=eu-north-1; }
writable_tells() {
	local status=0
	new_server region-primary 'wal_level = replica' && sql region-primary postgres 'CREATE DATABASE notejam' || return 1
	"${as_user[@]}" "$FAIRLEAD_POSTGRES/pg_basebackup" -h "$work/region-primary" -U app -D "$work/region-replica/data" -R -X stream --checkpoint fast &&
		"${as_user[@]}" "$FAIRLEAD_POSTGRES/pg_ctl" start -s -w -D "$work/region-replica/data" -l "$work/region-replica/log" \
			-o "-c unix_socket_directories='$work/region-replica'" >/dev/null || return 1
	job writable "PGHOST=$work/region-primary" PGDATABASE=notejam PGUSER=app || status=1
	! gives_up job writable "PGHOST=$work/region-replica" PGDATABASE=notejam PGUSER=app || status=1
	! gives_up job writable "PGHOST=$work/nowhere" PGDATABASE=notejam PGUSER=app || status=1
	# What is promoted while it is asked takes writes then.
	(sleep 2 && sql region-replica postgres 'SELECT pg_promote()' >/dev/null) &
	job writable "PGHOST=$work/region-replica" PGDATABASE=notejam PGUSER=app || status=1
	stop_server region-replica
	stop_server region-primary
	return $status
}
smoke_tells() {
	local port status=0 server
	port=$(free_port)
	python3 -m http.server --bind 127.0.0.1 --directory "$work/pushed" "$port" >/dev/null 2>&1 &
	server=$!
	# The same request, but for where the Service is and how long it is waited for.
	env bash -euc "$(script smoke | sed "s|http://notejam/|http://127.0.0.1:$port/|; s|--retry 20|--retry 3|")" || status=1
	kill "$server"
	wait "$server" 2>/dev/null || true
	! env bash -euc "$(script smoke | sed "s|http://notejam/|http://127.0.0.1:$port/|; s|--retry 20|--retry 1|")" || status=1
	return $status
}

region_jobs() {
	echo '== the Jobs of a move to another region'
	check 'a replica is promoted for a move, once' promotes_once
	check 'a region without a replica is a failure' no_replica_is_a_failure
	check 'what takes no writes is not taken for writable' writable_tells
	check 'what does not answer is not taken for well' smoke_tells
}
