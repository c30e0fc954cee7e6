#!/usr/bin/env bash
# Restores an archive into an empty database, all of it or nothing, and compares every table with what was backed up.
#
#   restore.sh [IDENTIFIER]      the newest where none is named
# shellcheck source=base/backup/programs/common.sh
source "$(dirname "$0")/common.sh"
begin

doing 'choosing the archive'
identifier=${1:-}
if [[ -z $identifier ]]; then
	all=$(manifests archives)
	identifier=$(tail -n 1 <<<"$all")
	[[ -n $identifier ]] || fail "there is no archive in s3://$BACKUP_BUCKET/$BACKUP_PREFIX"
fi
manifest archives "$identifier" "$scratch/manifest"
can_decrypt "$scratch/manifest"

doing 'looking at the database to restore into'
there=$(query <<<"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'") ||
	fail 'it cannot be reached'
((there == 0)) || fail "the database is not empty ($there tables, views and sequences). Nothing was changed. Restore into a new one"

doing "downloading $identifier"
download "$(jq -r .archive.key "$scratch/manifest")" "$scratch/archive" \
	"$(jq -r .archive.sha256 "$scratch/manifest")" "$(jq -r .archive.bytes "$scratch/manifest")"

doing "restoring $identifier"
# One transaction: what breaks in the middle leaves the database empty.
load() {
	age --decrypt --identity "$BACKUP_IDENTITIES" "$scratch/archive" |
		zstd --quiet --decompress |
		pg_restore --exit-on-error --single-transaction --no-owner --no-privileges --dbname "${PGDATABASE:?names the database}"
}
to_its_end load ||
	fail 'the archive could not be restored. The database is as empty as before'

doing 'comparing every table with what was backed up'
compare "$scratch/manifest"
metric backup_rows "$(jq .rows "$scratch/manifest")"
metric backup_tables "$(jq '.tables | length' "$scratch/manifest")"
say "$(jq .rows "$scratch/manifest") rows in $(jq '.tables | length' "$scratch/manifest") tables are as they were at" \
	"$(jq -r .created "$scratch/manifest")"
