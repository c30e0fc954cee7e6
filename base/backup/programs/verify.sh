#!/usr/bin/env bash
# Proves that the newest archive can be restored: starts an empty PostgreSQL of its own, restores into it, compares. Fails,
# too, where the newest archive is older than BACKUP_MAX_AGE (seconds; 26 hours where absent) or, with
# BACKUP_REQUIRE_LOCK=1, where somebody could delete it before its time.
# shellcheck source=base/backup/programs/common.sh
source "$(dirname "$0")/common.sh"
begin

postgres=${POSTGRES_BIN:-$(pg_config --bindir 2>/dev/null || dirname "$(readlink -f "$(command -v postgres)")")}
clean_up() {
	[[ ! -e $scratch/data/postmaster.pid ]] || "$postgres/pg_ctl" stop --silent --mode immediate --pgdata "$scratch/data"
}

doing 'looking at the newest archive'
all=$(manifests archives)
identifier=$(tail -n 1 <<<"$all")
[[ -n $identifier ]] || fail "there is no archive in s3://$BACKUP_BUCKET/$BACKUP_PREFIX"
manifest archives "$identifier" "$scratch/manifest"
age_now=$(($(date +%s) - $(date -d "$(jq -r .created "$scratch/manifest")" +%s)))
((age_now <= ${BACKUP_MAX_AGE:-93600})) || fail "the newest archive, $identifier, is $((age_now / 3600)) hours old"
if [[ -n ${BACKUP_REQUIRE_LOCK:-} ]]; then
	key=$(jq -r .archive.key "$scratch/manifest")
	head=$(head_of "$key")
	[[ -n $head ]] || fail "$key is missing from the bucket $BACKUP_BUCKET"
	[[ $(jq -r '.ObjectLockMode // ""' <<<"$head") == COMPLIANCE ]] || fail "$key is not locked, and could be deleted today"
	until=$(date -d "$(jq -r .ObjectLockRetainUntilDate <<<"$head")" +%s)
	((until >= $(date -d '+1000 days' +%s) - age_now)) || fail "$key is locked for less than the three years that it is kept"
fi

doing 'starting an empty PostgreSQL'
"$postgres/initdb" --pgdata "$scratch/data" --username verify --auth trust --encoding UTF8 --no-sync >"$scratch/initdb.log" 2>&1 ||
	fail "$(tail -n 2 "$scratch/initdb.log" | tr '\n' ' ')"
# A socket only: nobody else can reach it.
"$postgres/pg_ctl" start --silent --wait --pgdata "$scratch/data" --log "$scratch/server.log" \
	--options "-c listen_addresses='' -c unix_socket_directories='$scratch' -c fsync=off -c full_page_writes=off" >/dev/null ||
	fail "$(tail -n 2 "$scratch/server.log" | tr '\n' ' ')"
unset PGPASSWORD PGPASSFILE PGSSLMODE PGSERVICE PGOPTIONS
export PGHOST=$scratch PGUSER=verify PGDATABASE=restored PGPORT=5432
createdb

doing "restoring $identifier"
# Its own metrics would say that somebody restored.
METRICS_URL='' METRICS_FILE='' "$programs/restore.sh" "$identifier" || fail 'the archive does not restore; the lines above say why'
metric backup_rows "$(jq .rows "$scratch/manifest")"
metric backup_archive_age_seconds "$age_now"
say "$identifier restores, and every table is as it was backed up"
