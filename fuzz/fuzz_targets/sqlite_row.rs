//! Whatever an SQL table contains, each operation of the SQLite store succeeds or reports a corrupt
//! row, and so does the code that reads the rows of servers.
#![no_main]

use std::cell::RefCell;
use std::time::Duration;

use arbitrary::Arbitrary;
use leasehold::fuzzing::server_row;
use leasehold::sqlite::SqliteStore;
use leasehold::{
    AcquireOptions, Clock as _, DisableOptions, EnterOptions, ErrorKind, Holder, LeaseId,
    LeaseRecord, ListOptions, LockKind, LockName, LockRecord, LockStore, OpenOptions, PruneOptions,
    Reason, RenewOptions, SystemClock,
};
use leasehold_fuzz::{Edit, Written, edited};
use tokio::runtime::Runtime;
use uuid::Uuid;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    // The operations come first, because an input may end early.
    operations: [Operation; 2],
    /// This is true if the lease was granted before another boot.
    elsewhere: bool,
    /// This is true if the lease is that of the only entry of a queue.
    queued: bool,
    damage: Vec<Damage<'a>>,
    written: Written,
}

#[derive(Debug, Arbitrary)]
enum Damage<'a> {
    Edit(u8, Vec<Edit<'a>>),
    Replace(u8, Cell),
}

#[derive(Debug, Arbitrary)]
enum Operation {
    List,
    Prune,
    /// Acquires with the lease id in the table, or with another one.
    Acquire(bool),
    Renew(bool),
    Release(bool),
    Enter(bool),
    RenewEntry(bool),
    Leave(bool),
    Disable,
    Enable,
    Watch,
}

/// This is a value that SQLite can store in a column.
#[derive(Clone, Debug, Arbitrary)]
enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// Creates the table. Each column accepts any value, because another database's columns may have
/// values that the schema's own columns refuse.
const TABLE: &str = "DROP TABLE leasehold_locks; CREATE TABLE leasehold_locks \
    (name PRIMARY KEY, token, lease, holder, boot, expires_at, granted_at, ending, \
     disabled_reason, disabled_by, disabled_at, signal, set_at, kind, queue)";

const INSERT: &str = "INSERT INTO leasehold_locks VALUES \
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

const COLUMNS: usize = 15;

struct Database {
    runtime: Runtime,
    store: SqliteStore,
    boot: String,
}

thread_local! {
    static DATABASE: RefCell<Option<Database>> = const { RefCell::new(None) };
}

libfuzzer_sys::fuzz_target!(|input: Input<'_>| {
    DATABASE.with_borrow_mut(|database| {
        let Database { runtime, store, boot } = database.get_or_insert_with(open);
        runtime.block_on(run(store, boot, &input));
    });
});

fn open() -> Database {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(async {
        let store = SqliteStore::in_memory(&OpenOptions::default()).await.unwrap();
        sqlx::raw_sql(TABLE).execute(store.pool()).await.unwrap();
        store
    });
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Database { runtime, store, boot: boot.trim().to_owned() }
}

async fn run(store: &SqliteStore, boot: &str, input: &Input<'_>) {
    let Input { written: Written(record), damage, operations, elsewhere, queued } = input;
    let mut row = row(record, if *elsewhere { "another boot" } else { boot }, *queued);
    damaged(&mut row, damage);
    let intact = damage.is_empty() && !elsewhere;

    sqlx::raw_sql("DELETE FROM leasehold_locks").execute(store.pool()).await.unwrap();
    let mut insert = sqlx::query(INSERT);
    for cell in row {
        insert = match cell {
            Cell::Null => insert.bind(None::<i64>),
            Cell::Integer(number) => insert.bind(number),
            Cell::Real(number) => insert.bind(number),
            Cell::Text(text) => insert.bind(String::from_utf8_lossy(&text).into_owned()),
            Cell::Blob(bytes) => insert.bind(bytes),
        };
    }
    insert.execute(store.pool()).await.unwrap();

    let read = plausible(store.get(&record.name).await);
    if intact {
        assert_same(read.flatten().unwrap(), record, *queued);
    }
    // The select includes the clock by which the lease expires.
    let select = "SELECT *, ?1 AS clock FROM leasehold_locks";
    let clock = SystemClock.now().since_origin().as_micros() as i64;
    let row = sqlx::query(select).bind(clock).fetch_one(store.pool()).await.unwrap();
    for read in [server_row::with_text(&row), server_row::with_bytes(&row)] {
        let read = plausible(read);
        assert!(read.as_ref().is_none_or(|read| read.lease.is_none() || read.token.is_some()));
        if intact {
            assert_same(read.unwrap(), record, *queued);
        }
    }
    for operation in operations {
        perform(store, record, operation).await;
    }
    let read = plausible(store.get(&record.name).await).flatten();
    assert!(read.is_none_or(|read| read.lease.is_none() || read.token.is_some()));
}

async fn perform(store: &SqliteStore, record: &LockRecord, operation: &Operation) {
    let name = &record.name;
    let ttl = Duration::from_secs(10);
    let id = |known: &bool| match &record.lease {
        Some(lease) if *known => lease.id,
        _ => LeaseId::from_uuid(Uuid::from_u128(1)),
    };
    match operation {
        Operation::List => _ = plausible(store.list(&ListOptions::default()).await),
        Operation::Prune => {
            let all = PruneOptions::default().with_unused_for(Duration::ZERO).with_dry_run(false);
            plausible(store.prune(&all).await);
        }
        Operation::Acquire(known) => {
            let holder = Holder::new(Uuid::nil(), "h", 1);
            let options = AcquireOptions::new(id(known), holder, ttl);
            plausible(store.acquire(name, &options).await);
        }
        Operation::Renew(known) => {
            let renewal = RenewOptions::new(name.clone(), id(known), ttl);
            let other = RenewOptions::new(LockName::new("other").unwrap(), id(known), ttl);
            let renewed = store.renew(&[renewal, other]).await;
            assert_eq!(renewed.expect("a damaged row concerns only its own lease").len(), 2);
        }
        Operation::Enter(known) => {
            let holder = Holder::new(Uuid::nil(), "h", 1);
            let options = EnterOptions::new(id(known), holder, ttl, LockKind::Fair);
            plausible(store.enter(name, &options).await);
        }
        Operation::RenewEntry(known) => {
            let renewal = RenewOptions::new(name.clone(), id(known), ttl).of_entry(true);
            let other = LockName::new("other").unwrap();
            let other = RenewOptions::new(other, id(known), ttl).of_entry(true);
            let renewed = store.renew(&[renewal, other]).await;
            assert_eq!(renewed.expect("a damaged row concerns only its own lease").len(), 2);
        }
        Operation::Leave(known) => _ = plausible(store.leave(name, id(known)).await),
        Operation::Release(known) => _ = plausible(store.release(name, id(known)).await),
        Operation::Disable => {
            let options = DisableOptions::new(Reason::new("r").unwrap());
            plausible(store.disable(name, &options).await);
        }
        Operation::Enable => _ = plausible(store.enable(name).await),
        Operation::Watch => _ = plausible(store.watch().await.map(drop)),
    }
}

fn plausible<T>(answer: leasehold::Result<T>) -> Option<T> {
    // A lease and a queue refuse each other.
    let expected = [ErrorKind::Corrupt, ErrorKind::Conflict];
    answer.inspect_err(|error| assert!(expected.contains(&error.kind()), "{error:?}")).ok()
}

/// Returns the row as the store writes it, in the order of the columns.
fn row(record: &LockRecord, boot: &str, queued: bool) -> [Cell; COLUMNS] {
    let micros = |duration: Duration| duration.as_micros() as i64;
    let wall = micros(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap());
    let uptime = micros(SystemClock.now().since_origin());
    let mut row = [const { Cell::Null }; COLUMNS];
    row[0] = Cell::from(record.name.as_str());
    row[1] = Cell::Integer(record.token.map_or(0, i64::from));
    if let Some(lease) = &record.lease {
        row[2] = Cell::from(lease.id.to_string().as_str());
        row[3] = Cell::from(serde_json::to_string(&lease.holder).unwrap().as_str());
        row[4] = Cell::from(boot);
        row[5] = Cell::Integer(uptime + micros(lease.left) + SLACK);
        row[6] = Cell::Integer(wall - micros(lease.held_for));
        row[12] = Cell::Integer(uptime);
        row[7] = lease.ending.as_ref().map_or(Cell::Null, |reason| Cell::from(reason.as_str()));
    }
    if let Some(lease) = record.lease.as_ref().filter(|_| queued) {
        let entry = serde_json::json!({
            "l": lease.id,
            "p": record.token.map_or(0, i64::from),
            "w": 1,
            "h": serde_json::to_string(&lease.holder).unwrap(),
            "t": wall - micros(lease.held_for),
            "x": uptime + micros(lease.left) + SLACK,
        });
        row[2] = Cell::from(Uuid::nil().to_string().as_str());
        row[13] = Cell::from(LockKind::Fair.code().as_str());
        row[14] = Cell::from(serde_json::json!([entry]).to_string().as_str());
    }
    if let Some(disabled) = &record.disabled {
        row[8] = Cell::from(disabled.reason.as_str());
        row[9] = disabled.by.as_deref().map_or(Cell::Null, Cell::from);
        row[10] = Cell::Integer(wall - micros(disabled.since));
    }
    row[11] = Cell::Integer(0);
    row
}

/// A lease lasts this much longer, so that it is in force when it is read.
const SLACK: i64 = 30_000_000;

fn damaged(row: &mut [Cell; COLUMNS], damage: &[Damage<'_>]) {
    for damage in damage {
        match damage {
            Damage::Edit(column, edits) => {
                if let Cell::Text(text) = &mut row[usize::from(*column) % COLUMNS] {
                    *text = edited(text, edits);
                }
            }
            Damage::Replace(column, cell) => row[usize::from(*column) % COLUMNS] = cell.clone(),
        }
    }
}

/// Asserts that both are the same, except for the time that has passed. A record that was written
/// with a queue is read with an entry in place of the lease.
fn assert_same(mut read: LockRecord, written: &LockRecord, queued: bool) {
    if let Some(lease) = written.lease.as_ref().filter(|_| queued) {
        let entry = read.queue.take().unwrap().entries.remove(0);
        assert_eq!((entry.id, Some(entry.token)), (lease.id, written.token));
        read.kind = written.kind;
        let lease = LeaseRecord::new(entry.id, entry.holder, entry.left).with_ending(entry.ending);
        read.lease = Some(lease);
    }
    if let (Some(read), Some(written)) = (&mut read.lease, &written.lease) {
        (read.held_for, read.left) = (written.held_for, written.left);
    }
    if let (Some(read), Some(written)) = (&mut read.disabled, &written.disabled) {
        read.since = written.since;
    }
    assert_eq!(read, *written);
}
