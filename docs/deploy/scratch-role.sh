#!/bin/sh
# Run once by the scratch PostgreSQL container: two ordinary roles that may create and drop databases of their own.
# waqiti_scratch restores backups; waqiti_prover runs engineers' files and scripts, and so makes the roles they name.
set -eu
psql -v ON_ERROR_STOP=1 --username postgres -v secret="$SCRATCH_PASSWORD" -v prover="$PROVER_PASSWORD" <<'SQL'
CREATE ROLE waqiti_scratch LOGIN CREATEDB PASSWORD :'secret';
CREATE ROLE waqiti_prover LOGIN CREATEDB CREATEROLE PASSWORD :'prover';
-- Temporary files count in no database's size, which is what the worker bounds.
ALTER ROLE waqiti_prover SET temp_file_limit = '5GB';
SQL
