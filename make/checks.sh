#!/usr/bin/env bash
# Sourced by scripts that check things: counts what passed and failed, and says so in one line that others read.

passed=0
failed=0

# check NAME COMMAND... runs it and counts it; what it printed is shown when it failed.
check() {
	local name=$1 begin=$SECONDS output
	shift
	if output=$("$@" 2>&1); then
		passed=$((passed + 1))
		printf 'ok    %s (%d s)\n' "$name" $((SECONDS - begin))
	else
		failed=$((failed + 1))
		printf 'FAIL  %s\n' "$name"
		printf '      %s\n' "${output//$'\n'/$'\n'      }"
	fi
}

# add_counts FILE adds up every "N passed" and "N failed" of lines that report a result, and says how many there were.
# A program that died before it could count is for the caller to notice.
add_counts() {
	local sums
	sums=$(
		sed -n \
			-e 's/^test result: [a-zA-Z]*\. \([0-9]*\) passed; \([0-9]*\) failed;.*/\1 \2/p' \
			-e 's/^[a-z :]*\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' "$1" |
			awk '{passed += $1; failed += $2; lines++} END {print passed + 0, failed + 0, lines + 0}'
	)
	local more_passed more_failed lines
	read -r more_passed more_failed lines <<<"$sums"
	passed=$((passed + more_passed))
	failed=$((failed + more_failed))
	((lines > 0))
}

# run_and_count NAME COMMAND... shows what it prints while it runs, and counts what it says that it counted.
run_and_count() {
	local name=$1 log status=0 before
	shift
	log=$(mktemp)
	printf '\n== %s\n' "$name"
	"$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
	before=$failed
	if ! add_counts "$log"; then
		failed=$((failed + 1))
		printf 'FAIL  %s: it counted nothing\n' "$name"
	elif ((status != 0 && failed == before)); then
		failed=$((failed + 1))
		printf 'FAIL  %s: it ended with %d\n' "$name" "$status"
	fi
	rm -f "$log"
}

# conclude WHAT prints the line that counts, and fails if anything failed or nothing ran.
conclude() {
	printf '%s%d passed, %d failed\n' "$1" "$passed" "$failed"
	((failed == 0 && passed > 0))
}
