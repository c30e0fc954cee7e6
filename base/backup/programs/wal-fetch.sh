#!/usr/bin/env bash
# PostgreSQL's restore_command: fetches one file of the write-ahead log. Status 1 says that there is none, which is how
# PostgreSQL learns of the end. Everything else ends with 200, on which PostgreSQL stops, rather than take a fault for the
# end of the log and lose what came after.
#
#   restore_command = '/programs/wal-fetch.sh %f %p'
name=${1:?is the name of the file} destination=${2:?is where it goes}
(
	# shellcheck source=base/backup/programs/common.sh
	source "$(dirname "$0")/common.sh"
	begin
	doing "fetching $name"
	head=$(head_of "wal/$name.zst.age")
	[[ -n $head ]] || { say "there is no $name" && : >"$scratch/said" && exit 44; }
	aws s3 cp --only-show-errors "$(url "wal/$name.zst.age")" "$scratch/wal" || fail 'it could not be downloaded'
	[[ $(sha256 "$scratch/wal") == "$(jq -r '.Metadata.sha256 // ""' <<<"$head")" ]] || fail "$name is corrupted"
	age --decrypt --identity "${BACKUP_IDENTITIES:?names the file of private keys}" "$scratch/wal" |
		zstd --quiet --decompress >"$destination.part" || fail 'it could not be decrypted'
	[[ $(sha256 "$destination.part") == "$(jq -r '.Metadata.plain // ""' <<<"$head")" ]] || fail "$name is not what was archived"
	mv "$destination.part" "$destination"
)
case $? in
0) exit 0 ;;
44) exit 1 ;;
*) exit 200 ;;
esac
