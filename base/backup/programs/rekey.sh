#!/usr/bin/env bash
# Encrypts every archive anew that is not encrypted to exactly the public keys in use, so that an old private key can be
# given up. The old versions stay in the bucket as long as their lock says; whoever holds the old key can read those.
# shellcheck source=base/backup/programs/common.sh
source "$(dirname "$0")/common.sh"
begin

doing 'reading the public keys'
keys=$(recipients)
done_now=0
all=$(manifests archives)
for identifier in $all; do
	doing "looking at $identifier"
	manifest archives "$identifier" "$scratch/manifest"
	jq -e --argjson keys "$keys" '(.recipients | sort) != ($keys | sort)' "$scratch/manifest" >/dev/null || continue
	can_decrypt "$scratch/manifest"
	doing "encrypting $identifier anew"
	download "$(jq -r .archive.key "$scratch/manifest")" "$scratch/old" \
		"$(jq -r .archive.sha256 "$scratch/manifest")" "$(jq -r .archive.bytes "$scratch/manifest")"
	age --decrypt --identity "$BACKUP_IDENTITIES" "$scratch/old" |
		age --encrypt --recipients-file "$BACKUP_RECIPIENTS" --output "$scratch/new" ||
		fail "$identifier could not be encrypted anew; it is as it was"
	sum=$(sha256 "$scratch/new")
	key=archives/$identifier.$(date -u +%Y%m%dT%H%M%SZ).dump.zst.age
	upload "$scratch/new" "$key" "$sum"
	jq --arg key "$key" --arg sum "$sum" --argjson bytes "$(stat -c %s "$scratch/new")" --argjson recipients "$keys" \
		'.archive = {key: $key, bytes: $bytes, sha256: $sum} | .recipients = $recipients' "$scratch/manifest" >"$scratch/changed"
	upload "$scratch/changed" "archives/$identifier.json" "$(sha256 "$scratch/changed")"
	rm -f "$scratch/old" "$scratch/new"
	done_now=$((done_now + 1))
done
say "$done_now archives were encrypted anew"
