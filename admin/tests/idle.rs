//! Ten thousand idle connections run in their own process, so that its memory can be measured.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "for the other tests")]
#[path = "http/support.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use leasehold_admin::Limits;
use leasehold_core::{
    Client, Leadership, LockStore, MemoryStore, Settings, StopReason, start_stop,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use support::{Bench, PATIENCE};

/// An election continues while thousands of connections do nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_disturb_an_election() {
    const WANTED: usize = 10_000;
    const TTL: Duration = Duration::from_secs(30);
    // Both ends of a connection are in this process.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    let _ = setrlimit(Resource::Nofile, files);
    let limit = getrlimit(Resource::Nofile).current;
    let free = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX) - 200);
    let count = WANTED.min(free / 2 * 9 / 10);
    if count < WANTED {
        println!("note: {count} idle connections instead of {WANTED}: the limit is {free} files");
    }
    let store: Arc<dyn LockStore> = Arc::new(MemoryStore::new());
    let bench = Bench::on(store.clone(), |api| api.limits(Limits::default()), None).await;
    let settings = Settings::default().ttl(TTL);
    let client = Client::builder(store).settings(settings).build().unwrap();
    let (stopped, mut stops) = tokio::sync::mpsc::unbounded_channel();
    let job = start_stop(
        |_: Leadership| async { Ok(()) },
        move |reason: StopReason| {
            let _ = stopped.send(reason);
            async {}
        },
    );
    let election = client.election("job").unwrap().spawn(job);
    let leads = async {
        while !election.status().is_leading() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, leads).await.expect("no leader");
    let before = client.status("job").await.unwrap();

    let (resident, mut idle, mut turned_away) = (resident(), Vec::new(), 0);
    for _ in 0..count {
        idle.push(TcpStream::connect(bench.address).await.unwrap());
    }
    // Without a renewal, the time that is left and the time since the grant add up to the ttl.
    let renewed = async {
        loop {
            let lease = client.status("job").await.unwrap().lease.expect("the lease is gone");
            if lease.left + lease.held_for > TTL + Duration::from_secs(1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, renewed).await.expect("no heartbeat");
    // Connections beyond the limit get an error.
    for stream in &mut idle {
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        read.expect("an idle connection is kept forever").ok();
        turned_away += usize::from(answer.starts_with(b"HTTP/1.1 503 "));
    }
    println!("{count} connections, {turned_away} turned away");
    assert!(turned_away > 0 || count <= 512);
    if let (Some(before), Some(after)) = (resident, self::resident()) {
        println!("resident memory: {before} KiB before, {after} KiB after");
        assert!(after < before + 64 * 1024, "{before} KiB grew to {after} KiB");
    }
    // The term and the lease are the same.
    let after = client.status("job").await.unwrap();
    assert_eq!(before.token, after.token);
    assert_eq!(before.lease.unwrap().id, after.lease.unwrap().id);
    assert!(election.status().is_leading() && stops.try_recv().is_err());
    bench.get("/v1/locks/job").await.ok();
    election.shutdown().await;
}

/// Returns the resident memory of this process in KiB, if it is known.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
