#!/usr/bin/env bash
# Makes a server as it was at a moment: the newest copy from before it, and the log from there on. The folder has to be empty
# or absent. Ends when the server has reached the moment and takes writes; it stops the server again with STOP=1.
#
#   point-in-time.sh '2026-11-30 12:34:56+00' FOLDER
# shellcheck source=base/backup/programs/common.sh
source "$(dirname "$0")/common.sh"
begin

moment=${1:?is the moment} folder=${2:?is the folder for the server}
postgres=${POSTGRES_BIN:-$(pg_config --bindir 2>/dev/null || dirname "$(readlink -f "$(command -v postgres)")")}
socket=${PGHOST_DIR:-$BACKUP_WORK}

doing 'choosing the copy to begin with'
wanted=$(date -d "$moment" +%s.%N) || fail "'$moment' is no moment"
[[ ! -e $folder || -z $(ls -A "$folder") ]] || fail "$folder is not empty. Nothing was changed"
chosen=''
all=$(manifests base)
for identifier in $all; do
	manifest base "$identifier" "$scratch/$identifier"
	finished=$(date -d "$(jq -r .finished "$scratch/$identifier")" +%s.%N)
	if [[ $(printf '%s\n%s\n' "$finished" "$wanted" | sort -n | head -n 1) == "$finished" ]]; then chosen=$identifier; fi
done
[[ -n $chosen ]] || fail "there is no copy from before $moment"
can_decrypt "$scratch/$chosen"

doing "downloading $chosen"
download "$(jq -r .archive.key "$scratch/$chosen")" "$scratch/archive" \
	"$(jq -r .archive.sha256 "$scratch/$chosen")" "$(jq -r .archive.bytes "$scratch/$chosen")"
mkdir -p "$folder"
chmod 700 "$folder"
age --decrypt --identity "$BACKUP_IDENTITIES" "$scratch/archive" | zstd --quiet --decompress | tar -x -C "$folder" ||
	fail 'the copy could not be unpacked'
"$postgres/pg_verifybackup" --no-parse-wal --quiet "$folder" || fail 'the copy is not complete'

doing "going forward to $moment"
cat >>"$folder/postgresql.auto.conf" <<CONF
restore_command = '"$programs/wal-fetch.sh" %f %p'
recovery_target_time = '$moment'
recovery_target_action = 'promote'
archive_mode = off
CONF
touch "$folder/recovery.signal"
"$postgres/pg_ctl" start --silent --wait --timeout "${RECOVERY_TIMEOUT:-3600}" --pgdata "$folder" --log "$folder/recovery.log" \
	--options "-c listen_addresses='' -c unix_socket_directories='$socket' -c port=${PGPORT:-5432}" >/dev/null ||
	fail "the server did not get there: $(grep -E 'FATAL|FAILED' "$folder/recovery.log" | tail -n 2 | tr '\n' ' ')"
export PGHOST=$socket
until [[ $(PGDATABASE=postgres query <<<'SELECT pg_is_in_recovery()' 2>/dev/null) == f ]]; do
	kill -0 "$(head -n 1 "$folder/postmaster.pid" 2>/dev/null)" 2>/dev/null ||
		fail "the server did not get there: $(grep -E 'FATAL|FAILED' "$folder/recovery.log" | tail -n 2 | tr '\n' ' ')"
	sleep 0.2
done
# These would count again at the next start of a copy of it.
sed -i '/^restore_command\|^recovery_target_/d' "$folder/postgresql.auto.conf"
[[ -z ${STOP:-} ]] || "$postgres/pg_ctl" stop --silent --mode fast --pgdata "$folder"
say "the server in $folder is as it was at $moment"
