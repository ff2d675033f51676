#!/bin/sh
# Run once by the portal's PostgreSQL container: the roles that web and worker sign in as. Rights come with migrate.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    -v web="$WEB_PASSWORD" -v worker="$WORKER_PASSWORD" <<'SQL'
CREATE ROLE waqiti_web LOGIN PASSWORD :'web';
CREATE ROLE waqiti_worker LOGIN PASSWORD :'worker';
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
SQL
