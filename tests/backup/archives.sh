# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of bed.sh.
# Sourced by run.sh: archives of a database, and what can happen to them.

# As many as it takes for a dump that can be caught in the middle, and for a disk that it fills.
ROWS=1000000

fill() {
	sql main postgres 'CREATE DATABASE notejam'
	sql main postgres 'CREATE DATABASE nothing'
	sql main notejam "
		CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE, score double precision, seen timestamptz, extra jsonb);
		INSERT INTO users (email, score, seen, extra)
			SELECT 'user' || n || '@example.org', n / 7.0, now() - n * interval '1 minute', jsonb_build_object('n', n)
			FROM generate_series(1, 1000) n;
		CREATE TABLE notes (id bigserial PRIMARY KEY, owner int REFERENCES users, title text, body bytea);
		INSERT INTO notes (owner, title, body)
			SELECT 1 + n % 1000, 'note ' || n, decode(md5(n::text), 'hex') FROM generate_series(1, $ROWS) n;
		CREATE INDEX ON notes (owner);
		CREATE TABLE \"odd 'name\" (a text, b interval);
		INSERT INTO \"odd 'name\" VALUES (E'tab\\there', '1 day'), (NULL, NULL);
		CREATE TABLE nobody (id int);
		CREATE TABLE log (at date, line text) PARTITION BY RANGE (at);
		CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
		INSERT INTO log SELECT '2026-01-01'::date + n % 300, 'line' FROM generate_series(1, 1000) n;
		CREATE VIEW titles AS SELECT title FROM notes;"
}

# Another way to see that two databases are the same than the one that the programs have.
content() {
	sql "$1" "$2" "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM users t"
	sql "$1" "$2" "SELECT count(*), sum(id), md5(string_agg(md5(t::text), '' ORDER BY id)) FROM notes t WHERE id <= $ROWS"
	sql "$1" "$2" "SELECT count(*) FROM log; SELECT last_value >= $ROWS FROM notes_id_seq"
	sql "$1" "$2" "SELECT count(*) FROM titles WHERE title = 'note 77'; SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'"
}
same_content() { diff <(content main notejam) <(content spare "$1"); }

restore_into() { # DATABASE ARGUMENT...
	fresh "$1"
	with PGHOST="$work/spare" PGDATABASE="$1" -- run restore "${@:2}"
}
refused_into() { # DATABASE WORDS ARGUMENT...
	fresh "$1"
	fails "$2" with PGHOST="$work/spare" PGDATABASE="$1" -- run restore "${@:3}" || return 1
	is_empty "$1" || { echo 'the database is not empty any more' && return 1; }
}

lifecycle_says() {
	run lifecycle archives || return 1
	s3 get-bucket-lifecycle-configuration --bucket archives |
		jq -e '.Rules[0] | .Transitions[0].StorageClass == "DEEP_ARCHIVE" and .Expiration.Days == 1096' &&
		s3 get-object-lock-configuration --bucket archives |
		jq -e '.ObjectLockConfiguration.Rule.DefaultRetention | .Mode == "COMPLIANCE" and .Days == 1096'
}

# While somebody writes, what is counted is still what is dumped.
backup_while_writing() {
	local writer status=0
	# With the rights that a backup is given, and no others.
	POSTGRES_USER=app POSTGRES_DB=notejam PGHOST=$work/main REPLICA_PASSWORD=r BACKUP_PASSWORD=b \
		base/postgres/components/durable/roles.sh || return 1
	(while :; do sql main notejam "INSERT INTO notes (owner, title) SELECT 1, 'meanwhile' FROM generate_series(1, 50)"; done) &
	writer=$!
	with PGUSER=backup -- run backup || status=$?
	kill "$writer"
	wait "$writer" 2>/dev/null || true
	((status == 0)) || return 1
	grep -x 'backup_run_success 1' "$work/pushed/metrics_job_backup_program_backup_environment_production"
}
archive_is_closed() {
	aws s3 cp --only-show-errors "s3://archives/$BACKUP_PREFIX/archives/$first.dump.zst.age" "$work/closed"
	[[ $(head -c 18 "$work/closed") == age-encryption.org ]] && ! grep -qa -e 'user1@example' -e PGDMP "$work/closed"
}
rows_in_manifest() {
	aws s3 cp --only-show-errors "s3://archives/$BACKUP_PREFIX/archives/$first.json" - |
		jq -e --argjson rows "$ROWS" '[.tables[] | select(.name == "public.notes")][0].rows >= $rows'
}

# harm KEY COMMAND: replaces an object by what the command makes of it. The lock keeps the version before.
harm() {
	aws s3 cp --only-show-errors "s3://archives/$BACKUP_PREFIX/$1" "$work/whole"
	"${@:2}" <"$work/whole" >"$work/harmed"
	aws s3 cp --only-show-errors "$work/harmed" "s3://archives/$BACKUP_PREFIX/$1"
}
heal() { aws s3 cp --only-show-errors "$work/whole" "s3://archives/$BACKUP_PREFIX/$1"; }
flip() { python3 -c 'import sys; b = bytearray(sys.stdin.buffer.read()); b[len(b) // 2] ^= 1; sys.stdout.buffer.write(b)'; }
half() { head -c 100000; }
# The manifest agrees with the harmed archive: an attacker, or a fault before the checksum was taken.
agree() {
	jq --arg sum "$(sha256sum "$work/archive" | cut -d ' ' -f 1)" --argjson bytes "$(stat -c %s "$work/archive")" \
		'.archive.sha256 = $sum | .archive.bytes = $bytes'
}
harmed() { # HARM WORDS
	harm "archives/$first.dump.zst.age" "$1"
	local status=0
	refused_into harmed "$2" "$first" || status=1
	heal "archives/$first.dump.zst.age"
	return $status
}
harmed_and_agreed() { # HARM WORDS
	local status=0
	harm "archives/$first.dump.zst.age" "$1"
	cp "$work/whole" "$work/whole.archive"
	cp "$work/harmed" "$work/archive"
	harm "archives/$first.json" agree
	refused_into harmed "$2" "$first" || status=1
	heal "archives/$first.json"
	aws s3 cp --only-show-errors "$work/whole.archive" "s3://archives/$BACKUP_PREFIX/archives/$first.dump.zst.age"
	return $status
}
harmed_manifest() { # WORDS HARM...
	local status=0
	harm "archives/$first.json" "${@:2}"
	fresh harmed
	fails "$1" with PGHOST="$work/spare" PGDATABASE=harmed -- run restore "$first" || status=1
	heal "archives/$first.json"
	return $status
}
verify_sees_harm() {
	local status=0
	harm "archives/$first.dump.zst.age" flip
	fails 'does not restore' run verify || status=1
	heal "archives/$first.dump.zst.age"
	return $status
}
missing() {
	local status=0
	aws s3 cp --only-show-errors "s3://archives/$BACKUP_PREFIX/archives/$first.dump.zst.age" "$work/whole"
	# The lock keeps the version, not the name: this puts a mark on top that says deleted.
	aws s3 rm --only-show-errors "s3://archives/$BACKUP_PREFIX/archives/$first.dump.zst.age"
	refused_into harmed 'is missing from the bucket' "$first" || status=1
	fails 'is missing from the bucket' run verify || status=1
	heal "archives/$first.dump.zst.age"
	return $status
}
into_full() {
	fails 'is not empty' with PGHOST="$work/spare" PGDATABASE=restored -- run restore "$first" && same_content restored
}

# fails_without_upload WORDS COMMAND...
fails_without_upload() {
	local before
	before=$(objects)
	fails "$@" && [[ $(objects) == "$before" ]]
}
dies_while_dumping() {
	local before killer status=0
	before=$(objects)
	(
		until sql main postgres "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND query LIKE 'COPY%notes%'" |
			grep -q t; do sleep 0.02; done
	) &
	killer=$!
	fails 'the dump did not come to its end' run backup || status=1
	kill "$killer" 2>/dev/null || true
	((status == 0)) && [[ $(objects) == "$before" ]]
}
told_to_end() {
	local before pid status=0
	before=$(objects)
	# The program itself, as the first process of a pod is told.
	"${as_user[@]}" "$programs/backup.sh" >"$work/ended" 2>&1 &
	pid=$!
	until grep -q dumping "$work/ended"; do sleep 0.1; done
	kill -TERM "$pid"
	wait "$pid" || status=$?
	cat "$work/ended"
	((status != 0)) && [[ $(objects) == "$before" ]] && grep -q 'FAILED while dumping' "$work/ended" &&
		grep -qx 'backup_run_success 0' "$work/pushed/metrics_job_backup_program_backup_environment_production"
}
last_success_outlives() {
	local file=$work/metrics.prom before
	with METRICS_FILE="$file" -- run lifecycle archives || return 1
	before=$(grep '^backup_last_success' "$file")
	with METRICS_FILE="$file" BACKUP_BUCKET=nowhere -- run lifecycle archives && return 1
	grep -x 'backup_run_success{program="lifecycle",environment="production"} 0' "$file" && grep -xF "$before" "$file"
}
deep() {
	local status=0
	aws s3 cp --only-show-errors "s3://archives/$BACKUP_PREFIX/archives/$first.dump.zst.age" "$work/whole"
	aws s3 cp --only-show-errors --storage-class DEEP_ARCHIVE "$work/whole" "s3://archives/$BACKUP_PREFIX/archives/$first.dump.zst.age"
	refused_into harmed 'is in deep archive' "$first" || status=1
	heal "archives/$first.dump.zst.age"
	return $status
}

rotated() {
	# Archives go to the new key from now on.
	sleep 1
	with BACKUP_RECIPIENTS="$work/new.pub" -- run backup || return 1
	second=$(newest archives)
	[[ $second != "$first" ]] || return 1
	refused_into harmed 'opens this archive' "$second" || return 1
	with BACKUP_IDENTITIES="$work/new.key" -- restore_into rotated "$second" &&
		with BACKUP_IDENTITIES="$work/both.key" -- run verify
}
rekeyed() {
	fails 'opens this archive' with BACKUP_IDENTITIES="$work/new.key" BACKUP_RECIPIENTS="$work/new.pub" -- run rekey || return 1
	with BACKUP_IDENTITIES="$work/both.key" BACKUP_RECIPIENTS="$work/new.pub" -- run rekey || return 1
	refused_into harmed 'opens this archive' "$first" || return 1
	with BACKUP_IDENTITIES="$work/new.key" -- restore_into rekeyed "$first" && same_content rekeyed || return 1
	# A second time there is nothing to do.
	[[ $(with BACKUP_IDENTITIES="$work/new.key" BACKUP_RECIPIENTS="$work/new.pub" -- run rekey 2>&1) == *': 0 archives'* ]]
}
old_archive() {
	sleep 2
	fails 'hours old' with BACKUP_MAX_AGE=1 -- run verify
}
not_locked() {
	with BACKUP_BUCKET=open -- run backup && fails 'is not locked' with BACKUP_BUCKET=open BACKUP_REQUIRE_LOCK=1 -- run verify
}

archives() {
	echo "== archives of a database of $ROWS rows"
	new_server main
	new_server spare
	fill
	s3 create-bucket --bucket archives --object-lock-enabled-for-bucket \
		--create-bucket-configuration LocationConstraint=eu-west-1 >/dev/null
	s3 create-bucket --bucket open --create-bucket-configuration LocationConstraint=eu-west-1 >/dev/null

	check 'the bucket keeps three years, locked, in deep archive after 30 days' lifecycle_says
	check 'a bucket that cannot lock is refused' fails 'put-object-lock-configuration was refused' \
		with BACKUP_BUCKET=open -- run lifecycle archives
	check 'with no archive there, a restore fails' fails 'there is no archive' run restore
	check 'with no archive there, the verification fails' fails 'there is no archive' run verify

	check 'a backup of it succeeds while somebody writes, and says so by a metric' backup_while_writing
	first=$(newest archives)
	check 'the archive is encrypted' archive_is_closed
	check 'the manifest has its rows' rows_in_manifest
	check 'it restores into an empty database, every table as it was' restore_into restored "$first"
	check 'another way of comparing agrees' same_content restored
	check 'a database that is not empty is refused, and stays as it is' into_full
	check 'the verification restores it into a server of its own' run verify
	check 'and sees that it is locked for three years' with BACKUP_REQUIRE_LOCK=1 -- run verify
	check 'an archive that is not locked fails the verification' not_locked
	check 'an archive that is too old fails the verification' old_archive

	check 'one bit of it changed: refused' harmed flip 'is corrupted'
	check 'one bit changed, the verification fails' verify_sees_harm
	check 'it is truncated: refused' harmed half 'it is truncated'
	check 'it is empty: refused' harmed true 'it is truncated'
	check 'one bit changed and its checksum with it: the encryption tells' harmed_and_agreed flip 'could not be restored'
	check 'truncated and its checksum with it: the encryption tells' harmed_and_agreed half 'could not be restored'
	check 'it is missing: refused' missing
	check 'its manifest is no JSON: refused' harmed_manifest 'cannot be read' half_of_it
	check 'its manifest counts other rows: the comparison tells' harmed_manifest 'is not what was backed up' \
		jq '.tables |= map(if .name == "public.users" then .rows = 1001 else . end)'
	check 'its manifest has another checksum of a table: the comparison tells' harmed_manifest 'their checksums differ' \
		jq '.tables |= map(if .name == "public.users" then .checksum = "1" else . end)'
	check 'it is in deep archive: refused, with the command that fetches it' deep
	check 'an identifier that is not there: refused' refused_into harmed 'there is no archive' 20200101T000000Z

	check 'another private key: refused before anything is fetched' \
		with BACKUP_IDENTITIES="$work/new.key" -- refused_into harmed 'opens this archive' "$first"
	check 'a file that is no private key: refused' \
		with BACKUP_IDENTITIES="$work/old.pub" -- refused_into harmed 'no private key' "$first"
	check 'no public key: refused' fails_without_upload 'no public key' with BACKUP_RECIPIENTS=/dev/null -- run backup
	check 'the key is rotated: new archives open with the new key only' rotated
	check 'old archives are encrypted anew, and open with the new key' rekeyed

	check 'a full disk while dumping: nothing is uploaded' fails_without_upload 'the dump did not come to its end' on_small_disk 200k backup
	check 'a full disk while restoring: refused' fails 'could not be downloaded' \
		with BACKUP_IDENTITIES="$work/new.key" PGHOST="$work/spare" PGDATABASE=harmed -- on_small_disk 200k restore "$first"
	check 'a full disk while verifying: refused' fails '' with BACKUP_IDENTITIES="$work/new.key" -- on_small_disk 64m verify
	check 'the database has no tables: refused' fails_without_upload 'has no tables' with PGDATABASE=nothing -- run backup
	check 'the database is not there: refused' fails_without_upload 'does not exist' with PGDATABASE=elsewhere -- run backup
	check 'the server is away: refused' fails_without_upload '' with PGHOST="$work/nowhere" -- run backup
	check 'the connection ends in the middle of the dump: nothing is uploaded' dies_while_dumping
	check 'it is told to end in the middle: nothing is uploaded' told_to_end
	check 'the object store is away: a failure' fails '' with AWS_ENDPOINT_URL=http://127.0.0.1:9 -- run backup
	check 'the bucket is not there: a failure' fails '' with BACKUP_BUCKET=nowhere -- run backup
	check 'the time of the last success outlives a failure' last_success_outlives
	stop_server spare
}
half_of_it() { head -c 50; }
