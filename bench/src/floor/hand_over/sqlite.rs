//! An upsert acquires, and an update releases, after which the times of a file beside the database
//! are set. Waiters learn of that by inotify.

use std::fs::File;

use anyhow::Result;
use async_trait::async_trait;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use rustix::io::read;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnection;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

use super::server::{Notified, NotifyingServer};
use crate::floor::driver::changed_one;
use crate::floor::sqlite::{TABLE, UNSET};
use crate::leasehold_client::sqlite_options;
use crate::url::rest;

/// This inserts the row at the first attempt.
const SET: &str = "INSERT INTO leasehold_bench_floor VALUES (?1, 'floor') \
     ON CONFLICT (name) DO UPDATE SET lease = 'floor' WHERE lease IS NULL";

pub(super) struct Sqlite {
    connection: Mutex<SqliteConnection>,
    watched: File,
}

pub(super) async fn open(url: &str, notified: Notified) -> Result<Sqlite> {
    let mut connection = sqlite_options(url).connect().await?;
    sqlx::query(TABLE).execute(&mut connection).await?;
    let path = format!("{}-hand-over", rest(url));
    let watched = File::create(&path)?;
    #[expect(
        deprecated,
        reason = "`register` is unsafe, and a descriptor that is owned stays open"
    )]
    let watch = AsyncFd::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)?;
    inotify::add_watch(&watch, path.as_str(), WatchFlags::ATTRIB)?;
    tokio::spawn(async move {
        // All events are alike, so they are not parsed.
        let mut events = [0_u8; 1024];
        while watch.async_io(Interest::READABLE, |fd| Ok(read(fd, &mut events)?)).await.is_ok() {
            notified.notify_waiters();
        }
    });
    Ok(Sqlite { connection: Mutex::new(connection), watched })
}

#[async_trait]
impl NotifyingServer for Sqlite {
    async fn set(&self, lock: &str) -> Result<bool> {
        let mut connection = self.connection.lock().await;
        let done = sqlx::query(SET).bind(lock).execute(&mut *connection).await?;
        Ok(done.rows_affected() == 1)
    }

    async fn unset(&self, lock: &str) -> Result<()> {
        let mut connection = self.connection.lock().await;
        let done = sqlx::query(UNSET).bind(lock).execute(&mut *connection).await?;
        changed_one(done.rows_affected())?;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        futimens(&self.watched, &Timestamps { last_access: now, last_modification: now })?;
        Ok(())
    }
}
