#!/usr/bin/env bash
# Runs once, when the server is made: who may copy it, who may read all of it for a backup, and who may see its figures. None of
# them may write.
set -euo pipefail

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
	--set "replica=$REPLICA_PASSWORD" --set "backup=$BACKUP_PASSWORD" <<-'SQL'
		CREATE ROLE replica LOGIN REPLICATION PASSWORD :'replica';
		CREATE ROLE backup LOGIN REPLICATION PASSWORD :'backup';
		GRANT pg_read_all_data TO backup;
		CREATE ROLE monitor LOGIN;
		GRANT pg_monitor TO monitor;
	SQL
