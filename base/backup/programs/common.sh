# shellcheck shell=bash
# Sourced by the programs beside it: what they are told, how they fail, and what they report.
#
# Told by the environment:
#   BACKUP_BUCKET, BACKUP_PREFIX   where archives are: s3://BUCKET/PREFIX/…
#   BACKUP_RECIPIENTS              a file with the public keys (age) that archives are encrypted to
#   BACKUP_IDENTITIES              a file with private keys, for the programs that read archives
#   BACKUP_NAME                    the environment, for metrics
#   BACKUP_WORK                    a folder with room for one archive
#   METRICS_URL, METRICS_FILE      a Pushgateway, or a file for the node exporter; both may be absent
#   PG…                            libpq's own
#   AWS_…                          the AWS command line's own
set -euo pipefail
# A fault in $( ) is a fault of the program.
shopt -s inherit_errexit

program=${0##*/}
program=${program%.sh}
# shellcheck disable=SC2034 # Used by the programs that source this.
programs=$(cd "$(dirname "$0")" && pwd)
step='starting'
scratch=''
began=$(date +%s)
metrics=()

say() { printf '%s %s: %s\n' "$(date -u +%FT%TZ)" "$program" "$*" >&2; }

# fail WHY... ends the program. The reason is the pod's last words, too.
fail() {
	say "FAILED while $step: $*"
	{ printf '%s failed while %s: %s\n' "$program" "$step" "$*" >/dev/termination-log; } 2>/dev/null || true
	# A file, since this may be in a $( ).
	[[ -z $scratch ]] || : >"$scratch/said" || true
	exit 1
}

# doing WHAT names the step, so that whatever ends the program ends it by name.
doing() {
	step=$*
	say "$step"
}

# metric NAME VALUE adds a figure to the report.
metric() { metrics+=("$1 $2"); }

begin() {
	: "${BACKUP_BUCKET:?names the bucket}" "${BACKUP_PREFIX:?names the folder in the bucket}"
	: "${BACKUP_NAME:?names the environment}" "${BACKUP_WORK:?names a folder with room}"
	umask 077
	trap 'finish $?' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	scratch=$(mktemp -d "$BACKUP_WORK/$program.XXXXXX") || fail "cannot make a folder in $BACKUP_WORK"
}

# to_its_end COMMAND... runs what takes long such that a signal is heard at once, and ends all of it: Bash hears none while it
# waits for a command in the foreground.
child=''
to_its_end() {
	local status=0
	set -m
	"$@" &
	child=$!
	set +m
	wait "$child" || status=$?
	child=''
	return "$status"
}

# finish STATUS runs at every end, and reports it. The report never turns a failure into a success or the other way round.
finish() {
	local status=$1
	trap - EXIT
	if ((status != 0)) && [[ ! -e ${scratch:-/nowhere}/said ]]; then
		say "FAILED while $step (exit status $status)"
		{ printf '%s failed while %s\n' "$program" "$step" >/dev/termination-log; } 2>/dev/null || true
	fi
	[[ -z $child ]] || kill -TERM -- "-$child" 2>/dev/null || true
	if declare -F clean_up >/dev/null; then clean_up || true; fi
	[[ -z $scratch ]] || rm -rf "$scratch" || true
	report "$status" || say 'the metrics could not be reported; the alert on old backups will say so'
	((status != 0)) || say 'done'
	exit "$status"
}

report() {
	local ok=0 now text line
	now=$(date +%s)
	(($1 == 0)) && ok=1
	text="# TYPE backup_run_success gauge
backup_run_success $ok
# TYPE backup_run_timestamp_seconds gauge
backup_run_timestamp_seconds $now
# TYPE backup_run_duration_seconds gauge
backup_run_duration_seconds $((now - began))"
	if ((ok)); then
		text+=$'\n'"# TYPE backup_last_success_timestamp_seconds gauge"$'\n'"backup_last_success_timestamp_seconds $now"
		for line in "${metrics[@]}"; do text+=$'\n'"# TYPE ${line%% *} gauge"$'\n'$line; done
	fi
	if [[ -n ${METRICS_FILE:-} ]]; then
		# The time of the last success outlives a failure, as it does in a Pushgateway.
		if ((!ok)) && [[ -e $METRICS_FILE ]]; then
			text+=$'\n'$(grep -E 'backup_last_success_timestamp_seconds|backup_(archive_bytes|rows|tables)' "$METRICS_FILE" | sed -E 's/\{[^}]*\}//' || true)
		fi
		sed -E "s/^(backup_[a-z_]+) /\1{program=\"$program\",environment=\"$BACKUP_NAME\"} /" <<<"$text" >"$METRICS_FILE.part" &&
			chmod 644 "$METRICS_FILE.part" && mv "$METRICS_FILE.part" "$METRICS_FILE"
	fi
	if [[ -n ${METRICS_URL:-} ]]; then
		# POST replaces only metrics of the same name, so the time of the last success outlives a failure.
		curl --silent --show-error --fail --max-time 20 --data-binary @- \
			"$METRICS_URL/metrics/job/backup/program/$program/environment/$BACKUP_NAME" <<<"$text"
	fi
}

url() { printf 's3://%s/%s/%s' "$BACKUP_BUCKET" "$BACKUP_PREFIX" "$1"; }

# Whether an object is there and how large: prints its head, or nothing where there is none. Any other answer is a failure.
head_of() { # KEY
	local answer
	if answer=$(aws s3api head-object --bucket "$BACKUP_BUCKET" --key "$BACKUP_PREFIX/$1" --output json 2>&1); then
		printf '%s' "$answer"
	elif [[ $answer == *'(404)'* || $answer == *NoSuchKey* ]]; then
		return 0
	else
		fail "the object store answers: ${answer//$'\n'/ }"
	fi
}

upload() { # FILE KEY SHA256
	local head
	if (($(stat -c %s "$1") < 4 << 30)); then
		# In one piece: the store compares the checksum itself before it keeps anything.
		aws s3api put-object --bucket "$BACKUP_BUCKET" --key "$BACKUP_PREFIX/$2" --body "$1" --metadata "sha256=$3" \
			--checksum-algorithm SHA256 >/dev/null || fail "$2 could not be uploaded"
	else
		aws s3 cp --only-show-errors --metadata "sha256=$3" "$1" "$(url "$2")" || fail "$2 could not be uploaded"
	fi
	# The store is asked, rather than believed by an exit code.
	head=$(head_of "$2")
	[[ -n $head && $(jq -r .ContentLength <<<"$head") == "$(stat -c %s "$1")" ]] ||
		fail "$2 was uploaded, and is not there in full"
}

# download KEY FILE SHA256 BYTES fetches an object and proves that it is the one that was written.
download() {
	local head have
	head=$(head_of "$1")
	[[ -n $head ]] || fail "$1 is missing from the bucket $BACKUP_BUCKET"
	case $(jq -r '.StorageClass // "STANDARD"' <<<"$head") in
	GLACIER | DEEP_ARCHIVE)
		[[ $(jq -r '.Restore // ""' <<<"$head") == *'ongoing-request="false"'* ]] ||
			fail "$1 is in deep archive. Ask for it and wait 12 to 48 hours: aws s3api restore-object --bucket" \
				"$BACKUP_BUCKET --key $BACKUP_PREFIX/$1 --restore-request 'Days=7,GlacierJobParameters={Tier=Standard}'"
		;;
	esac
	have=$(jq -r .ContentLength <<<"$head")
	[[ $have == "$4" ]] || fail "$1 has $have bytes, and had $4 when it was written: it is truncated or was replaced"
	aws s3 cp --only-show-errors "$(url "$1")" "$2" || fail "$1 could not be downloaded to $2"
	have=$(sha256 "$2")
	[[ $have == "$3" ]] || fail "$1 is corrupted: its SHA-256 is $have, and was $3 when it was written"
}

sha256() { sha256sum "$1" | cut -d ' ' -f 1; }

# recipients prints the public keys in use as a JSON list.
recipients() {
	local keys
	[[ -r ${BACKUP_RECIPIENTS:?names the file of public keys} ]] || fail "there is no file of public keys at $BACKUP_RECIPIENTS"
	keys=$(grep -oE '^age1[0-9a-z]+' "$BACKUP_RECIPIENTS" || true)
	[[ -n $keys ]] || fail "there is no public key (age1…) in $BACKUP_RECIPIENTS"
	jq -Rnc '[inputs]' <<<"$keys"
}

# can_decrypt MANIFEST fails unless one of our private keys belongs to the archive, and says which keys would.
can_decrypt() {
	local ours
	[[ -r ${BACKUP_IDENTITIES:?names the file of private keys} ]] || fail "there is no file of private keys at $BACKUP_IDENTITIES"
	ours=$(age-keygen -y "$BACKUP_IDENTITIES" 2>/dev/null) || fail "$BACKUP_IDENTITIES holds no private key that age can read"
	jq -e --arg ours "$ours" '.recipients - ($ours | split("\n")) != .recipients' "$1" >/dev/null ||
		fail "none of the private keys given (${ours//$'\n'/, }) opens this archive. It is encrypted to" \
			"$(jq -r '.recipients | join(", ")' "$1")"
}

# manifests KIND lists the identifiers of manifests, oldest first.
manifests() {
	local list
	list=$(aws s3api list-objects-v2 --bucket "$BACKUP_BUCKET" --prefix "$BACKUP_PREFIX/$1/" --output json) ||
		fail "the archives in s3://$BACKUP_BUCKET/$BACKUP_PREFIX cannot be listed"
	jq -r '.Contents // [] | .[].Key | select(endswith(".json")) | sub(".*/"; "") | sub("\\.json$"; "")' <<<"${list:-{\}}" | sort
}

manifest() { # KIND IDENTIFIER FILE
	local head
	head=$(head_of "$1/$2.json")
	[[ -n $head ]] || fail "there is no archive $2: $1/$2.json is missing"
	aws s3 cp --only-show-errors "$(url "$1/$2.json")" "$3" || fail "the manifest of $2 could not be downloaded"
	jq -e '.version == 1 and (.archive | .key and .bytes and .sha256) and (.recipients | length > 0)' "$3" >/dev/null 2>&1 ||
		fail "the manifest of $2 cannot be read: it is not one that this program writes"
}

# The same text for the same row on every server.
SETTINGS="SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1;"
# For each table its name, its rows, and a sum over all of them that does not hang on their order.
# shellcheck disable=SC2034 # Used by the programs that source this.
FINGERPRINTS="SELECT format('SELECT %L, count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM ONLY %I.%I t',
	n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1 \\gexec"

# fingerprints_json reads psql's lines and makes them JSON.
fingerprints_json() { jq -Rnc '[inputs | select(length > 0) | split("\t") | {name: .[0], rows: (.[1] | tonumber), checksum: .[2]}]'; }

# query reads SQL from its input and prints lines with tabs.
query() { psql --no-psqlrc --quiet --tuples-only --no-align --field-separator $'\t' --set ON_ERROR_STOP=1; }

# compare MANIFEST fails unless the database of PG… holds exactly the rows that the manifest says.
compare() {
	local found differences
	found=$(printf '%s\n%s\n' "$SETTINGS" "$FINGERPRINTS" | query | fingerprints_json) || fail 'what was restored cannot be read'
	differences=$(jq -r --argjson found "$found" '
		(.tables | map({(.name): .}) | add // {}) as $want | ($found | map({(.name): .}) | add // {}) as $have
		| ($want + $have | keys[]) | select($want[.] != $have[.])
		| "\(.): \($want[.].rows // "no table") rows were backed up, \($have[.].rows // "no table") restored"
		+ (if $want[.].rows == $have[.].rows then ", their checksums differ" else "" end)' "$1")
	[[ -z $differences ]] || fail "what was restored is not what was backed up: ${differences//$'\n'/; }"
}
