#!/bin/sh
# Makes a data folder on the first start, and runs the server as its own user.
set -e
case "$1" in
    --*) set -- mariadbd "$@" ;;
    mariadbd) ;;
    *) exec "$@" ;;
esac
shift
data=/var/lib/mysql
if [ ! -d $data/mysql ]; then
    install -d -o mysql -g mysql -m 750 $data
    mariadb-install-db --no-defaults --user=mysql --datadir=$data --skip-test-db > /dev/null
    cat > /init.sql <<SQL
ALTER USER 'root'@'localhost' IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
CREATE USER 'root'@'%' IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\`;
SQL
    set -- --init-file=/init.sql "$@"
fi
install -d -o mysql -g mysql /run/mysqld
exec mariadbd --no-defaults --user=mysql --datadir=$data --socket=/run/mysqld/mysqld.sock \
    --bind-address='*' "$@"
