//! This module lists the servers that the tests run against.

use super::{Image, Server};

/// These are all servers of the tests.
pub const ALL: &[Image] = &[POSTGRES, MYSQL, MARIADB, REDIS, VALKEY, MONGODB, ETCD];

/// PostgreSQL counts its statements.
pub const POSTGRES: Image = Image {
    name: "postgres",
    public: "postgres:17",
    port: 5432,
    environment: &[("POSTGRES_PASSWORD", "secret")],
    command: &["postgres", "-c", "shared_preload_libraries=pg_stat_statements"],
    url: "postgres://postgres:secret@ADDRESS/postgres",
};

/// MySQL counts its statements by default.
pub const MYSQL: Image = Image {
    name: "mysql",
    public: "mysql:8.4",
    port: 3306,
    environment: &[("MYSQL_ROOT_PASSWORD", "secret"), ("MYSQL_DATABASE", "leasehold")],
    command: &["--skip-log-bin", "--innodb-flush-log-at-trx-commit=2"],
    url: "mysql://root:secret@ADDRESS/leasehold",
};

/// MariaDB counts its statements if it is configured to.
pub const MARIADB: Image = Image {
    name: "mariadb",
    public: "mariadb:11.8",
    port: 3306,
    environment: &[("MARIADB_ROOT_PASSWORD", "secret"), ("MARIADB_DATABASE", "leasehold")],
    command: &["--skip-log-bin", "--innodb-flush-log-at-trx-commit=2", "--performance-schema=ON"],
    url: "mysql://root:secret@ADDRESS/leasehold",
};

/// Redis keeps its data across a restart.
pub const REDIS: Image = Image {
    name: "redis",
    public: "redis:8",
    port: 6379,
    environment: &[],
    command: &["redis-server", "--appendonly", "yes", "--protected-mode", "no", "--bind", "*"],
    url: "redis://ADDRESS",
};

/// Valkey keeps its data across a restart.
pub const VALKEY: Image = Image {
    name: "valkey",
    public: "valkey/valkey:8",
    port: 6379,
    environment: &[],
    command: &["valkey-server", "--appendonly", "yes", "--protected-mode", "no", "--bind", "*"],
    url: "redis://ADDRESS",
};

/// MongoDB, or a server that replaces it, is a replica set of one member.
pub const MONGODB: Image = Image {
    name: "mongodb",
    public: "mongo:8",
    port: 27017,
    environment: &[],
    command: &["--replSet", "rs0"],
    url: "mongodb://ADDRESS/leasehold?directConnection=true",
};

/// etcd has one member. Its project does not publish images in Docker's default registry:
/// `LEASEHOLD_TEST_ETCD_IMAGE` can name one in full.
pub const ETCD: Image = Image {
    name: "etcd",
    public: "etcd:3.5",
    port: 2379,
    environment: &[],
    command: &[
        "etcd",
        "--listen-client-urls=http://0.0.0.0:2379",
        "--advertise-client-urls=http://0.0.0.0:2379",
    ],
    url: "etcd://ADDRESS",
};

/// Does what a server needs once after its first start. It does no harm if the server is not ready
/// or does not need it, so repeat it until the server responds.
pub async fn prepare(image: &Image, server: &Server) {
    if image.name == MONGODB.name {
        // The replacement is a replica set from the start, and has no shell.
        _ = server.run(&["mongosh", "--quiet", "--eval", "rs.initiate()"]).await;
    }
}
