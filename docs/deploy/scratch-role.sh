#!/bin/sh
# Run once by the scratch PostgreSQL container: an ordinary role that may create and drop its own databases.
set -eu
psql -v ON_ERROR_STOP=1 --username postgres -v secret="$SCRATCH_PASSWORD" <<'SQL'
CREATE ROLE waqiti_scratch LOGIN CREATEDB PASSWORD :'secret';
SQL
