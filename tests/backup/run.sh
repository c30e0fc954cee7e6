#!/usr/bin/env bash
# Proves that backups are taken and restore, on a real PostgreSQL with a million rows and an object store, and that nothing
# that can go wrong ends as a success. `make backup-test` runs it; it takes some minutes.
set -euo pipefail

cd "$(dirname "$0")/../.."
# shellcheck source=make/tools.sh
source make/tools.sh
need aws age postgres redis
# shellcheck source=make/checks.sh
source make/checks.sh
# shellcheck source=tests/backup/bed.sh
source tests/backup/bed.sh
# shellcheck source=tests/backup/archives.sh
source tests/backup/archives.sh
# shellcheck source=tests/backup/point_in_time.sh
source tests/backup/point_in_time.sh
# shellcheck source=tests/backup/replication.sh
source tests/backup/replication.sh
# shellcheck source=tests/backup/redis.sh
source tests/backup/redis.sh
# shellcheck source=tests/backup/region.sh
source tests/backup/region.sh

open_bed
for part in ${ONLY:-archives point_in_time replication redis_cluster region_jobs}; do
	"$part"
done
echo
conclude 'backup: '
