#!/usr/bin/env bash
# Copies the files of a running PostgreSQL into the bucket: where a restore to a point in time begins.
# shellcheck source=base/backup/programs/common.sh
source "$(dirname "$0")/common.sh"
begin

doing 'reading the public keys'
keys=$(recipients)
identifier=$(date -u +%Y%m%dT%H%M%SZ)
doing "copying the server as $identifier"
# The log is in the archive; --wal-method=none waits until what the copy needs is there.
copy() {
	pg_basebackup --pgdata - --format tar --wal-method none --checkpoint fast --no-sync |
		zstd --quiet --threads=2 -3 --check |
		age --encrypt --recipients-file "$BACKUP_RECIPIENTS" --output "$scratch/archive"
}
to_its_end copy ||
	fail 'the copy did not come to its end; nothing was uploaded'
finished=$(query <<<"SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")

doing 'uploading the archive'
sum=$(sha256 "$scratch/archive")
bytes=$(stat -c %s "$scratch/archive")
key=base/$identifier.tar.zst.age
upload "$scratch/archive" "$key" "$sum"
jq -n --arg finished "$finished" --arg key "$key" --arg sum "$sum" --argjson bytes "$bytes" --argjson recipients "$keys" \
	'{version: 1, finished: $finished, archive: {key: $key, bytes: $bytes, sha256: $sum}, recipients: $recipients}' \
	>"$scratch/manifest"
upload "$scratch/manifest" "base/$identifier.json" "$(sha256 "$scratch/manifest")"
metric backup_archive_bytes "$bytes"
say "$bytes bytes: $(url "$key")"
