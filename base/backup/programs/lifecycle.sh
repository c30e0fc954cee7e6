#!/usr/bin/env bash
# Says to the bucket how long things are kept, and then asks it whether it will. The bucket has to have been made with
# object lock.
#
#   lifecycle.sh archives     3 years, locked; deep archive after 30 days
#   lifecycle.sh wal          35 days, locked for as long
# shellcheck source=base/backup/programs/common.sh
source "$(dirname "$0")/common.sh"
begin

case ${1:-} in
archives) days=1096 move='"Transitions": [{"Days": 30, "StorageClass": "DEEP_ARCHIVE"}],' ;;
wal) days=35 move='' ;;
*) fail 'it takes one word: archives or wal' ;;
esac
s3() { aws s3api "$1" --bucket "$BACKUP_BUCKET" "${@:2}" || fail "$1 was refused"; }

doing "locking what is in $BACKUP_BUCKET for $days days"
# Nobody, the owner of the account included, deletes or overwrites a locked version.
is_locked() {
	jq -e --argjson days "$days" '.ObjectLockConfiguration.Rule.DefaultRetention | .Mode == "COMPLIANCE" and .Days == $days' \
		<<<"${1:-{\}}" >/dev/null 2>&1
}
lock=$(aws s3api get-object-lock-configuration --bucket "$BACKUP_BUCKET" --output json 2>/dev/null) || lock=''
is_locked "$lock" || s3 put-object-lock-configuration --object-lock-configuration \
	"{\"ObjectLockEnabled\": \"Enabled\", \"Rule\": {\"DefaultRetention\": {\"Mode\": \"COMPLIANCE\", \"Days\": $days}}}"

doing 'saying when what goes where'
s3 put-bucket-lifecycle-configuration --lifecycle-configuration "{\"Rules\": [
	{\"ID\": \"keep\", \"Status\": \"Enabled\", \"Filter\": {\"Prefix\": \"\"}, $move
	 \"Expiration\": {\"Days\": $days}, \"NoncurrentVersionExpiration\": {\"NoncurrentDays\": $days},
	 \"AbortIncompleteMultipartUpload\": {\"DaysAfterInitiation\": 7}}]}"
s3 put-public-access-block --public-access-block-configuration \
	BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true

doing 'asking whether it will'
lock=$(s3 get-object-lock-configuration --output json)
rules=$(s3 get-bucket-lifecycle-configuration --output json)
is_locked "$lock" || fail "the lock is not as it was said: $lock"
jq -e --argjson days "$days" --arg kind "$1" '.Rules[] | select(.ID == "keep") | .Status == "Enabled" and .Expiration.Days == $days
	and ($kind == "wal" or (.Transitions[0] | .Days == 30 and .StorageClass == "DEEP_ARCHIVE"))' \
	<<<"$rules" >/dev/null || fail "the lifecycle is not as it was said: $rules"
