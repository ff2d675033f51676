#!/bin/sh
# Run once by the scratch PostgreSQL container: two ordinary roles that may create and drop databases of their own.
# waqiti_scratch restores backups; waqiti_prover makes the roles as which engineers' files and scripts run, and those that they name.
set -eu
psql -v ON_ERROR_STOP=1 --username postgres -v secret="$SCRATCH_PASSWORD" -v prover="$PROVER_PASSWORD" <<'SQL'
CREATE ROLE waqiti_scratch LOGIN CREATEDB PASSWORD :'secret';
CREATE ROLE waqiti_prover LOGIN CREATEDB CREATEROLE PASSWORD :'prover';
-- Temporary files count in no database's size, which is what the worker bounds.
ALTER ROLE waqiti_prover SET temp_file_limit = '5GB';
-- It passes that on to the roles that it makes, one for each service, so that no service's files reach another's.
GRANT SET ON PARAMETER temp_file_limit TO waqiti_prover;
SQL
