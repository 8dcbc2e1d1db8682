#!/bin/sh
# Checks the queries of this crate against its migrations and rewrites .sqlx, from which it builds without a database.
# With --check it changes nothing and fails when .sqlx is stale. Starts a PostgreSQL of Debian's package `postgresql` for
# as long as it runs, on a socket in a directory of its own; run it after changing SQL.
set -eu
cd "$(dirname "$0")"
programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$programs" ] || { echo "prepare.sh: there is no PostgreSQL: apt-get install postgresql" >&2; exit 1; }
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill -INT "$server" && wait "$server" || true; }; rm -rf "$work"' EXIT
# PostgreSQL refuses to run as root.
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres "$work"
    as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
$as "$programs/initdb" --pgdata="$work/data" --username=inro --auth=trust --encoding=UTF8 --locale=C --no-sync >"$work/log"
$as "$programs/postgres" -D "$work/data" -k "$work" -c listen_addresses= -c fsync=off >>"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do
    "$programs/pg_isready" --quiet --host="$work" && break
    sleep 0.1
done
sql() { "$programs/psql" --no-psqlrc --quiet --host="$work" --username=inro --set=ON_ERROR_STOP=1 "$@"; }
sql --dbname=postgres --command='CREATE DATABASE inro'
for migration in migrations/*.sql; do sql --dbname=inro --single-transaction --file="$migration"; done
mkdir "$work/cache" "$work/tmp"
touch src/lib.rs
INRO_STORE_POSTGRES_URL="postgres://inro@localhost/inro?host=$work" SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$work/cache" \
    SQLX_TMP="$work/tmp" cargo check --quiet --lib -p store-postgres
ls "$work"/cache/query-*.json >/dev/null 2>&1 || { echo "no query was checked, for another cargo was faster: again" >&2; exit 1; }
if [ "${1:-}" = --check ]; then
    diff -r .sqlx "$work/cache" || { echo "ca/store-postgres/.sqlx is stale: run ca/store-postgres/prepare.sh" >&2; exit 1; }
else
    mkdir -p .sqlx
    rm -f .sqlx/query-*.json
    cp "$work"/cache/query-*.json .sqlx/
fi
