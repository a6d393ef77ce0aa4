#!/bin/sh
# Makes a cluster on the first start, and runs the server as its own user.
set -e
if [ "$1" != postgres ]; then exec "$@"; fi
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    install -d -o postgres -g postgres -m 700 "$PGDATA"
    install -d -o postgres -g postgres /run/postgresql
    password=$(mktemp)
    printf '%s' "$POSTGRES_PASSWORD" > "$password"
    chown postgres "$password"
    runuser -u postgres -- initdb --username=postgres --pwfile="$password" \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync
    rm "$password"
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    echo 'host replication all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi
# Cases that run beside each other have several pools each. The arguments come last, because the last
# value of a setting counts.
shift
exec setpriv --reuid=postgres --regid=postgres --init-groups -- postgres \
    -c listen_addresses='*' -c max_connections=300 "$@"
