#!/bin/sh
# Takes the options of `mongod` that the tests use, and starts the stand-in accordingly.
set -e
case "$1" in
    --* | mongod | '') ;;
    *) exec "$@" ;;
esac
mode=--standalone
auth=
while [ $# -gt 0 ]; do
    case "$1" in
        --replSet) mode=; shift ;;
        --auth) auth=--auth ;;
    esac
    shift
done
exec secantusd-rs --host 0.0.0.0 --port 27017 --storage-path /data $mode $auth
