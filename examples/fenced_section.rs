//! This example shows a critical section with fencing: the resource itself refuses the holder of an
//! older token.
//!
//! The first holder is a process that is stopped between its check and its write, as a suspended
//! machine would stop it. Its lease expires, a second holder writes, and the first wakes and writes
//! too late. No lease can prevent that, but one conditional update can.
//!
//! Each holder opens the store itself, so it must be a store that processes share.
//!
//! ```text
//! cargo run -p leasehold-examples --example fenced_section [STORE-URL]
//! ```

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use leasehold::{Client, FencingToken, Guard, OpenOptions, Reach, Settings};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

type AnyResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A page is the resource that the lock protects. It is in a database that knows nothing of leases.
struct Page(SqlitePool);

impl Page {
    async fn open(folder: &Path) -> AnyResult<Self> {
        let file = SqliteConnectOptions::new().filename(folder.join("page.db"));
        let pool = SqlitePool::connect_with(file.create_if_missing(true)).await?;
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS page (id INTEGER PRIMARY KEY, text TEXT, token INTEGER);
             INSERT OR IGNORE INTO page VALUES (1, 'by nobody', 0);",
        )
        .execute(&pool)
        .await?;
        Ok(Self(pool))
    }

    /// Writes unless a newer holder has written. Check and write are one atomic statement.
    async fn write(&self, text: &str, token: FencingToken) -> AnyResult<bool> {
        let done = sqlx::query("UPDATE page SET text = ?1, token = ?2 WHERE token <= ?2")
            .bind(text)
            .bind(i64::from(token))
            .execute(&self.0)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Acquires the lock with a short lease, so that the demonstration is short too.
async fn enter(url: &str) -> AnyResult<Guard> {
    let store = leasehold::url::open(url, &OpenOptions::default()).await?;
    if store.capabilities().reach == Reach::Process {
        return Err("only one process sees this store: use one that processes share".into());
    }
    let settings = Settings::new().ttl(Duration::from_secs(1));
    let client = Client::builder(store).settings(settings).build()?;
    Ok(client.lock("page")?.acquire(Duration::from_secs(20)).await?)
}

/// The first holder has its own process, which is stopped as soon as it has printed its first line.
async fn paused_holder(url: &str, folder: &Path) -> AnyResult<()> {
    let page = Page::open(folder).await?;
    let guard = enter(url).await?;
    println!("first:  token {}, held: {}", guard.token(), guard.is_held());
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("first:  continues, held: {}", guard.is_held());
    // A holder should check `is_held` here. This one checked just before it was stopped.
    println!("first:  written: {}", page.write("by the first", guard.token()).await?);
    Ok(guard.release().await?)
}

async fn second_holder(url: &str, folder: &Path) -> AnyResult<()> {
    let page = Page::open(folder).await?;
    let guard = enter(url).await?;
    let written = page.write("by the second", guard.token()).await?;
    println!("second: token {}, written: {written}", guard.token());
    Ok(guard.release().await?)
}

async fn signal(signal: &str, process: u32) -> AnyResult<()> {
    let status = Command::new("kill").args([signal, &process.to_string()]).status().await?;
    if status.success() { Ok(()) } else { Err(format!("kill {signal} failed: {status}").into()) }
}

#[tokio::main]
async fn main() -> AnyResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [url, folder] = &arguments[..] {
        return paused_holder(url, Path::new(folder)).await;
    }
    let url = arguments.into_iter().next().unwrap_or_else(|| {
        format!("sqlite:{}", std::env::temp_dir().join("leasehold-examples.db").display())
    });
    let folder = tempfile::tempdir()?;
    let mut first = Command::new(std::env::current_exe()?)
        .arg(&url)
        .arg(folder.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (process, output) =
        (first.id().ok_or("the first holder ended")?, first.stdout.take().ok_or("no output")?);
    let mut lines = BufReader::new(output).lines();
    println!("{}", lines.next_line().await?.ok_or("the first holder did not get the lock")?);
    signal("-STOP", process).await?;
    second_holder(&url, folder.path()).await?;
    signal("-CONT", process).await?;
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
    }
    first.wait().await?;
    let page = Page::open(folder.path()).await?;
    let text: String = sqlx::query_scalar("SELECT text FROM page").fetch_one(&page.0).await?;
    println!("the page was written {text}");
    Ok(())
}
