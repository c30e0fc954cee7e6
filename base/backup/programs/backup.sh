#!/usr/bin/env bash
# Takes a backup: dump, compress, encrypt to a public key, upload, and only then the manifest, which is what makes it an
# archive. Rows are counted and summed in the very snapshot that is dumped, so that a restore can be held against them.
# shellcheck source=base/backup/programs/common.sh
source "$(dirname "$0")/common.sh"
begin

doing 'reading the public keys'
keys=$(recipients)

doing 'opening a snapshot of the database'
coproc SESSION { query 2>"$scratch/session.err"; }
# Bash keeps its own from what runs in $( ), and forgets them when the session ends.
write=${SESSION[1]}
exec {to}>&"$write" {from}<&"${SESSION[0]}"
exec {write}>&-
session=$SESSION_PID
ask() { # Prints the answer up to a mark.
	local line
	printf '%s\n\\echo --end--\n' "$1" 1>&"$to" || fail "$(tr '\n' ' ' <"$scratch/session.err")"
	while IFS= read -r line <&"$from"; do
		[[ $line == --end-- ]] && return 0
		printf '%s\n' "$line"
	done
	fail "the session with the database ended: $(tr '\n' ' ' <"$scratch/session.err")"
}
about=$(ask "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; $SETTINGS
SELECT pg_export_snapshot(), current_database(), current_setting('server_version_num');")
IFS=$'\t' read -r snapshot database server <<<"$about"

doing "counting the rows of $database"
tables=$(ask "$FINGERPRINTS" | fingerprints_json)
rows=$(jq 'map(.rows) | add // 0' <<<"$tables")
# Somebody who backs up the wrong database would learn of it in the hour of need.
[[ $(jq length <<<"$tables") != 0 || -n ${BACKUP_ALLOW_EMPTY:-} ]] ||
	fail "the database $database has no tables. Is it the right one? BACKUP_ALLOW_EMPTY=1 backs it up all the same"

identifier=$(date -u +%Y%m%dT%H%M%SZ)
archive=$scratch/archive
doing "dumping $database as $identifier"
dump() {
	pg_dump --format=custom --compress=0 --snapshot="$snapshot" |
		zstd --quiet --threads=2 -9 --check |
		age --encrypt --recipients-file "$BACKUP_RECIPIENTS" --output "$archive"
}
to_its_end dump ||
	fail 'the dump did not come to its end; nothing was uploaded'
ask 'COMMIT;' >/dev/null
exec {to}>&- {from}<&-
wait "$session" || fail 'the session with the database ended badly'

doing 'uploading the archive'
sum=$(sha256 "$archive")
bytes=$(stat -c %s "$archive")
key=archives/$identifier.dump.zst.age
head=$(head_of "$key")
[[ -z $head ]] || fail "$key is there already"
upload "$archive" "$key" "$sum"

doing 'uploading the manifest'
jq -n --arg created "$(date -u +%FT%TZ)" --arg database "$database" --arg server "$server" --arg key "$key" \
	--arg sum "$sum" --argjson bytes "$bytes" --argjson recipients "$keys" --argjson tables "$tables" \
	--argjson rows "$rows" '{version: 1, created: $created, database: $database, server: $server,
	archive: {key: $key, bytes: $bytes, sha256: $sum}, recipients: $recipients, rows: $rows, tables: $tables}' \
	>"$scratch/manifest"
upload "$scratch/manifest" "archives/$identifier.json" "$(sha256 "$scratch/manifest")"

metric backup_archive_bytes "$bytes"
metric backup_rows "$rows"
metric backup_tables "$(jq length <<<"$tables")"
say "$rows rows in $(jq length <<<"$tables") tables, $bytes bytes: $(url "$key")"
