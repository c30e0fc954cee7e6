# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of bed.sh.
# Sourced by run.sh: a server whose log is archived goes back to a second.

moment() { sql journal postgres "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'"; }
# Whole seconds apart, so that a second says which.
event() { # TEXT
	sleep 1.1
	sql journal notes "INSERT INTO events VALUES (clock_timestamp(), '$1')"
	sleep 1.1
	moment
}
archived() { # Everything up to now.
	local name _
	name=$(sql journal postgres 'SELECT pg_walfile_name(pg_switch_wal())')
	for _ in {1..100}; do
		[[ $(sql journal postgres "SELECT last_archived_wal >= '$name' FROM pg_stat_archiver") == t ]] && return 0
		sleep 0.3
	done
	echo "$name was not archived"
	sql journal postgres 'TABLE pg_stat_archiver'
	tail -n 5 "$work/journal/log"
	return 1
}
# go_back MOMENT FOLDER
go_back() { with PGPORT=5499 PGHOST_DIR="$work/tmp" -- run point-in-time "$1" "$work/tmp/$2"; }
events() { psql -XqAt -h "$work/tmp" -p 5499 -U app -d notes -c "SELECT string_agg(what, ' ' ORDER BY at) FROM events"; }
end_of() { "${as_user[@]}" "$FAIRLEAD_POSTGRES/pg_ctl" stop -s -w -m immediate -D "$work/tmp/$1" || true; rm -rf "${work:?}/tmp/$1"; }
back_to() { # MOMENT EXPECTED
	local got status=0
	go_back "$1" back || status=1
	got=$(events) || status=1
	end_of back
	if ((status != 0)) || [[ $got != "$2" ]]; then
		echo "it has: $got"
		return 1
	fi
}
not_back() { # WORDS MOMENT
	local status=0
	fails "$1" go_back "$2" back || status=1
	end_of back >/dev/null 2>&1
	return $status
}
writes_again() {
	local status=0
	go_back "$after_one" back || return 1
	psql -XqAt -h "$work/tmp" -p 5499 -U app -d notes -c "INSERT INTO events VALUES (now(), 'anew')" || status=1
	end_of back
	return $status
}
harmed_log() { # WORDS COMMAND...
	local status=0 key about
	key=$BACKUP_PREFIX/wal/$middle.zst.age
	aws s3 cp --only-show-errors "s3://wal/$key" "$work/wal.whole"
	about=$(s3 head-object --bucket wal --key "$key" | jq -c .Metadata)
	"${@:2}" "$key"
	not_back "$1" "$after_two" || status=1
	aws s3 cp --only-show-errors --metadata "$about" "$work/wal.whole" "s3://wal/$key"
	return $status
}
remove_it() { aws s3 rm --only-show-errors "s3://wal/$1"; }
flip_it() {
	flip <"$work/wal.whole" >"$work/wal.harmed"
	aws s3 cp --only-show-errors --metadata "$about" "$work/wal.harmed" "s3://wal/$1"
}
log_is_kept() {
	# The server cannot archive: it says so and keeps what it has.
	local before _
	sql journal postgres "ALTER SYSTEM SET archive_command = 'AWS_ENDPOINT_URL=http://127.0.0.1:9 $programs/wal-push.sh %p %f'" &&
		sql journal postgres 'SELECT pg_reload_conf()' >/dev/null
	before=$(sql journal postgres 'SELECT failed_count FROM pg_stat_archiver')
	sql journal postgres 'SELECT pg_switch_wal()' >/dev/null
	sql journal notes "INSERT INTO events VALUES (clock_timestamp(), 'late')"
	for _ in {1..100}; do
		(($(sql journal postgres 'SELECT failed_count FROM pg_stat_archiver') > before)) && break
		sleep 0.3
	done
	(($(sql journal postgres 'SELECT failed_count FROM pg_stat_archiver') > before)) || return 1
	ls "$work"/journal/data/pg_wal/archive_status/*.ready || return 1
	sql journal postgres 'ALTER SYSTEM RESET archive_command' && sql journal postgres 'SELECT pg_reload_conf()' >/dev/null
	archived
}
push_again() { # The same file again is well; another one under its name is not.
	local name
	head -c 1000 /dev/urandom >"$work/one"
	head -c 1000 /dev/urandom >"$work/two"
	name=0000000900000000000000AA
	run wal-push "$work/one" $name && run wal-push "$work/one" $name && fails 'with other content' run wal-push "$work/two" $name
}

point_in_time() {
	echo '== a server that goes back to a second'
	export BACKUP_BUCKET=wal BACKUP_RECIPIENTS=$work/old.pub BACKUP_IDENTITIES=$work/old.key
	s3 create-bucket --bucket wal --object-lock-enabled-for-bucket \
		--create-bucket-configuration LocationConstraint=eu-west-1 >/dev/null
	check 'the log is kept for 35 days' run lifecycle wal
	new_server journal 'wal_level = replica' 'archive_mode = on' "archive_command = '$programs/wal-push.sh %p %f'"
	export PGHOST=$work/journal PGDATABASE=postgres
	sql journal postgres 'CREATE DATABASE notes'
	sql journal notes 'CREATE TABLE events (at timestamptz, what text)'
	before_all=$(moment)
	sleep 1.1
	check 'a copy of the running server is taken' run base-backup
	after_one=$(event one)
	check 'the log is archived' archived
	after_two=$(event two)
	middle=$(sql journal postgres 'SELECT pg_walfile_name(pg_current_wal_lsn())')
	archived >/dev/null
	after_three=$(event three)
	archived >/dev/null
	# The accident.
	sql journal notes 'DROP TABLE events'
	archived >/dev/null
	sql journal notes "CREATE TABLE events (at timestamptz, what text); INSERT INTO events VALUES (now(), 'too late')"
	archived >/dev/null

	check 'it goes back to the second after the first event' back_to "$after_one" 'one'
	check 'and after the second' back_to "$after_two" 'one two'
	check 'and to before the accident' back_to "$after_three" 'one two three'
	check 'a server that went back takes writes' writes_again
	check 'a moment before the first copy: refused' not_back 'there is no copy from before' "$before_all"
	check 'a moment that the log does not reach: a failure' not_back 'did not get there' '2099-01-01 00:00:00+00'
	check 'a piece of the log is missing: a failure, rather than an earlier end' harmed_log 'did not get there' remove_it
	check 'a piece of the log is corrupted: a failure' harmed_log 'did not get there' flip_it
	check 'another key: refused' with BACKUP_IDENTITIES="$work/new.key" -- not_back 'opens this archive' "$after_two"
	check 'after all that it still goes back' back_to "$after_two" 'one two'
	check 'no text that is no moment' not_back 'is no moment' 'yesterday-ish'
	check 'a file of the log is archived once, and never replaced' push_again
	check 'while the store is away the server keeps its log, and archives it later' log_is_kept
}
