#!/bin/sh
# Checks the queries of this crate against its migrations and rewrites .sqlx, from which it builds without a database.
# With --check it changes nothing and fails when .sqlx is stale. Needs sqlite3; run it after changing SQL.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat migrations/*.sql | sqlite3 -bail "$work/schema.db"
mkdir "$work/cache" "$work/tmp"
touch src/lib.rs
INRO_STORE_SQLITE_URL="sqlite://$work/schema.db" SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$work/cache" SQLX_TMP="$work/tmp" \
    cargo check --quiet --lib -p store-sqlite
ls "$work"/cache/query-*.json >/dev/null 2>&1 || { echo "no query was checked, for another cargo was faster: again" >&2; exit 1; }
if [ "${1:-}" = --check ]; then
    diff -r .sqlx "$work/cache" || { echo "ca/store-sqlite/.sqlx is stale: run ca/store-sqlite/prepare.sh" >&2; exit 1; }
else
    mkdir -p .sqlx
    rm -f .sqlx/query-*.json
    cp "$work"/cache/query-*.json .sqlx/
fi
