#!/bin/sh
# Takes the options of `mongod` that the tests use, and starts the stand-in accordingly.
set -e
case "$1" in
    --* | mongod | '') ;;
    *) exec "$@" ;;
esac
mode=--standalone
auth=
tls=
while [ $# -gt 0 ]; do
    case "$1" in
        --replSet) mode=; shift ;;
        --auth) auth=--auth ;;
        --tlsMode) shift ;;
        --tlsCertificateKeyFile) tls="--tls-cert-file $2 --tls-key-file $2"; shift ;;
    esac
    shift
done
exec secantusd-rs --host 0.0.0.0 --port 27017 --storage-path /data $mode $auth $tls
