//! Measures the cost of a lock and the time of a handover: `cargo xtask cost`.
//!
//! Each server is started in a container unless `LEASEHOLD_TEST_<NAME>_URL` names one. For each it
//! prints the median of acquire and release of one name, the median of two bare conditional writes
//! through the same driver, and the median time from the call of `release` to the grant of another
//! client that waits for the name.

mod floor;
mod median;

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold::{
    AcquireOptions, AcquireOutcome, Client, Holder, LeaseId, LockName, LockStore, OpenOptions, url,
};
use leasehold_test_servers::{Image, Server, catalog, skipped, until_ready};

use median::{Result, median};

const WARM_UP: usize = 100;
const ROUNDS: usize = 1000;
const HANDOVERS: usize = 100;

#[tokio::main]
async fn main() -> Result<()> {
    println!(
        "{:10} {:>18} {:>18} {:>7} {:>12}",
        "", "acquire + release", "two bare writes", "ratio", "hand-over"
    );
    let folder = tempfile::tempdir()?;
    let sqlite = format!("sqlite:{}", folder.path().join("locks.db").display());
    measure("sqlite", &sqlite).await?;
    for image in catalog::ALL {
        if skipped(image.name) {
            continue;
        }
        match image.given_url() {
            Some(url) => measure(image.name, &url).await?,
            None => {
                let server = Server::start(image).await?;
                measure(image.name, &ready(image, &server).await?).await?;
            }
        }
    }
    Ok(())
}

async fn ready(image: &Image, server: &Server) -> Result<String> {
    let url = image.url_at(&server.address());
    until_ready(|| async {
        catalog::prepare(image, server).await;
        url::open(&url, &OpenOptions::default()).await
    })
    .await?;
    Ok(url)
}

async fn measure(name: &str, url: &str) -> Result<()> {
    let store = url::open(url, &OpenOptions::default()).await?;
    let ours = lock_and_unlock(&store).await?;
    let floor = floor::two_writes(url, WARM_UP, ROUNDS).await?;
    let handover = hand_over(url).await?;
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    println!("{name:10} {ours:>18.2?} {floor:>18.2?} {ratio:>7.2} {handover:>12.2?}");
    Ok(())
}

async fn lock_and_unlock(store: &Arc<dyn LockStore>) -> Result<Duration> {
    let name = LockName::new("cost")?;
    let mut times = Vec::new();
    for round in 0..WARM_UP + ROUNDS {
        let lease = LeaseId::new();
        let ttl = Duration::from_secs(30);
        let options = AcquireOptions::new(lease, Holder::current(), ttl);
        let start = Instant::now();
        let outcome = store.acquire(&name, &options).await?;
        store.release(&name, lease).await?;
        if round >= WARM_UP {
            times.push(start.elapsed());
        }
        assert!(matches!(outcome, AcquireOutcome::Granted(_)), "{outcome:?}");
    }
    Ok(median(times))
}

/// Measures with two clients that have separate connections. One waits while the other releases.
async fn hand_over(url: &str) -> Result<Duration> {
    let clients = [leasehold::connect(url).await?, leasehold::connect(url).await?];
    let lock = |client: &Client| client.lock("hand-over");
    let mut times = Vec::new();
    let mut held = lock(&clients[0])?.acquire(Duration::from_secs(30)).await?;
    for round in 0..HANDOVERS {
        let waiter = lock(&clients[(round + 1) % 2])?;
        let waiting = tokio::spawn(async move {
            let guard = waiter.acquire(Duration::from_secs(30)).await;
            (guard, Instant::now())
        });
        // After this pause, the other client waits.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let start = Instant::now();
        held.release().await?;
        let (guard, granted) = waiting.await?;
        held = guard?;
        times.push(granted.saturating_duration_since(start));
    }
    held.release().await?;
    Ok(median(times))
}
