# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of bed.sh.
# Sourced by run.sh: a primary and replicas, as base/postgres/components/replicated makes them. A link stands in for the
# Service: it leads to the socket of the pod that is selected.

service_selects() { ln -sfn "$work/$1" "$work/service"; }
# join POD: what its init container does.
join() {
	mkdir -p "$work/$1"
	HOSTNAME=$1 PGDATA=$work/$1/data PRIMARY=$work/service "${as_user[@]}" base/postgres/components/replicated/join.sh
}
start_pod() {
	"${as_user[@]}" "$FAIRLEAD_POSTGRES/pg_ctl" start -s -w -D "$work/$1/data" -l "$work/$1/log" \
		-o "-c unix_socket_directories='$work/$1'" >/dev/null
}
first_begins() {
	join postgres-0 && [[ ! -e $work/postgres-0/data ]] || return 1
	rmdir "$work/postgres-0"
	new_server postgres-0 'wal_level = replica' && POSTGRES_USER=app POSTGRES_DB=postgres PGHOST=$work/postgres-0 REPLICA_PASSWORD=r BACKUP_PASSWORD=b \
		base/postgres/components/durable/roles.sh &&
		sql postgres-0 postgres 'CREATE TABLE texts (id int)'
}
follows() { # POD NUMBER
	local _
	for _ in {1..100}; do
		[[ $(sql "$1" postgres "SELECT count(*) FROM texts WHERE id = $2" 2>/dev/null) == 1 ]] && return 0
		sleep 0.2
	done
	tail -n 3 "$work/$1/log"
	return 1
}
others_join() {
	local pod
	for pod in postgres-1 postgres-2; do
		join "$pod" && start_pod "$pod" && [[ $(sql "$pod" postgres 'SELECT pg_is_in_recovery()') == t ]] || return 1
	done
	sql postgres-0 postgres 'INSERT INTO texts VALUES (1)' && follows postgres-1 1 && follows postgres-2 1
}
joins_nobody() {
	local status=0
	service_selects nowhere
	join postgres-9 || status=$?
	service_selects postgres-0
	((status != 0)) && [[ ! -e $work/postgres-9/data ]]
}
promoted() {
	# The primary is lost with its disk.
	"${as_user[@]}" "$FAIRLEAD_POSTGRES/pg_ctl" stop -s -w -m immediate -D "$work/postgres-0/data"
	rm -rf "$work/postgres-0"
	[[ $(sql postgres-1 postgres 'SELECT pg_promote(true, 60)') == t ]] || return 1
	service_selects postgres-1
	sql postgres-1 postgres 'INSERT INTO texts VALUES (2)' && follows postgres-2 2 && follows postgres-1 1
}
old_one_comes_back() {
	join postgres-0 && start_pod postgres-0 && [[ $(sql postgres-0 postgres 'SELECT pg_is_in_recovery()') == t ]] &&
		follows postgres-0 2 && sql postgres-1 postgres 'INSERT INTO texts VALUES (3)' && follows postgres-0 3
}
goes_on() { # A pod with data does not copy again.
	local before
	before=$(stat -c %i "$work/postgres-2/data/PG_VERSION")
	join postgres-2 && [[ $(stat -c %i "$work/postgres-2/data/PG_VERSION") == "$before" ]]
}

replication() {
	echo '== a primary and its replicas'
	service_selects nowhere
	unset PGDATABASE PGUSER
	check 'the first pod begins where there is no primary' first_begins
	check 'another pod never begins by itself' joins_nobody
	check 'the others copy it, and follow' others_join
	check 'a pod that has data goes on from it' goes_on
	check 'a replica is promoted, and the other one follows it' promoted
	check 'the old primary comes back as a replica, on an empty disk' old_one_comes_back
}
