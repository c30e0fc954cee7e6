#!/usr/bin/env bash
# Runs before the server of each pod: who has no data yet copies the primary, which is whoever the Service postgres selects.
# The first pod begins by itself where nobody answers there. Later all go on from what they have.
set -euo pipefail

primary=${PRIMARY:-postgres}
[[ ! -s $PGDATA/PG_VERSION ]] || exit 0
if ! pg_isready --quiet --host "$primary" --timeout 10; then
	if [[ $HOSTNAME == postgres-0 ]]; then
		echo 'nobody answers as the primary: this one begins'
		exit 0
	fi
	# Started again, until the primary answers: two beginnings would be two databases.
	echo 'the primary does not answer yet' >&2
	exit 1
fi
rm -rf "$PGDATA.part"
pg_basebackup --dbname "host=$primary user=replica application_name=$HOSTNAME" --pgdata "$PGDATA.part" \
	--wal-method stream --write-recovery-conf --checkpoint fast
mv "$PGDATA.part" "$PGDATA"
