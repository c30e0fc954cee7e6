#!/usr/bin/env bash
# PostgreSQL's archive_command: puts one file of the write-ahead log into the bucket. While it fails, PostgreSQL keeps the
# file and asks again.
#
#   archive_command = '/programs/wal-push.sh %p %f'
# shellcheck source=base/backup/programs/common.sh
source "$(dirname "$0")/common.sh"
begin

file=${1:?is the path of the file} name=${2:?is its name}
doing "archiving $name"
plain=$(sha256 "$file")
head=$(head_of "wal/$name.zst.age")
if [[ -n $head ]]; then
	# Asked again for what is there: right if it is the same, and a second server with the same folder if not.
	[[ $(jq -r '.Metadata.plain // ""' <<<"$head") == "$plain" ]] || fail "$name is there already, with other content"
	exit 0
fi
recipients >/dev/null
zstd --quiet --stdout -3 --check "$file" | age --encrypt --recipients-file "$BACKUP_RECIPIENTS" --output "$scratch/wal" ||
	fail 'it could not be encrypted'
aws s3 cp --only-show-errors --metadata "sha256=$(sha256 "$scratch/wal"),plain=$plain" "$scratch/wal" "$(url "wal/$name.zst.age")" ||
	fail 'it could not be uploaded'
