//! A check of the fence takes at least as long as this: one row is read by its primary key, with
//! the lock with which a check reads the row of the fence.

/// One database has these statements. All but the first have the row's name as their parameter.
pub(super) struct LockedRow {
    pub(super) create: &'static str,
    pub(super) insert: &'static str,
    pub(super) read: &'static str,
}

pub(super) const POSTGRES: LockedRow = LockedRow {
    create: "CREATE TABLE IF NOT EXISTS leasehold_bench_locked_row \
         (name text COLLATE \"C\" PRIMARY KEY, token bigint NOT NULL)",
    insert: "INSERT INTO leasehold_bench_locked_row VALUES ($1, 1) ON CONFLICT DO NOTHING",
    read: "SELECT token FROM leasehold_bench_locked_row WHERE name = $1 FOR SHARE",
};

pub(super) const MYSQL: LockedRow = LockedRow {
    create: "CREATE TABLE IF NOT EXISTS leasehold_bench_locked_row \
         (name VARBINARY(255) PRIMARY KEY, token BIGINT NOT NULL) ENGINE = InnoDB",
    insert: "INSERT IGNORE INTO leasehold_bench_locked_row VALUES (?, 1)",
    read: "SELECT token FROM leasehold_bench_locked_row WHERE name = ? LOCK IN SHARE MODE",
};

/// The transaction has the lock of the whole database already.
pub(super) const SQLITE: LockedRow = LockedRow {
    create: "CREATE TABLE IF NOT EXISTS leasehold_bench_locked_row \
         (name TEXT PRIMARY KEY, token INTEGER NOT NULL) WITHOUT ROWID",
    insert: "INSERT OR IGNORE INTO leasehold_bench_locked_row VALUES (?1, 1)",
    read: "SELECT token FROM leasehold_bench_locked_row WHERE name = ?1",
};
