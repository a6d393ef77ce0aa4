//! This test has its own process, so that the memory of ten thousand idle connections can be
//! measured.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "for the other tests")]
#[path = "http/support.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use leasehold_admin::Limits;
use leasehold_core::{
    Client, Leadership, LockStore, MemoryStore, Settings, StopReason, job_from_fns,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use support::{TEST_TIMEOUT, TestServer};

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
    let server = TestServer::on(store.clone(), |api| api.limits(Limits::default()), None).await;
    let settings = Settings::default().ttl(TTL);
    let client = Client::builder(store).settings(settings).build().unwrap();
    let (stopped, mut stops) = tokio::sync::mpsc::unbounded_channel();
    let job = job_from_fns(
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
    timeout(TEST_TIMEOUT, leads).await.expect("no leader");
    let before = client.status("job").await.unwrap();

    let (resident, mut idle, mut refused) = (resident(), Vec::new(), 0);
    for _ in 0..count {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    // Without a renewal, the time that is left and the time since the grant add up to the ttl.
    let renewed = async {
        loop {
            let lease = client.status("job").await.unwrap().lease.expect("the lease was lost");
            if lease.left + lease.held_for > TTL + Duration::from_secs(1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(TEST_TIMEOUT, renewed).await.expect("no heartbeat");
    // Connections beyond the limit get an error.
    for stream in &mut idle {
        let mut response = Vec::new();
        let read = timeout(TEST_TIMEOUT, stream.read_to_end(&mut response)).await;
        read.expect("an idle connection is never closed").ok();
        refused += usize::from(response.starts_with(b"HTTP/1.1 503 "));
    }
    println!("{count} connections, {refused} refused");
    assert!(refused > 0 || count <= 512);
    if let (Some(before), Some(after)) = (resident, self::resident()) {
        println!("resident memory: {before} KiB before, {after} KiB after");
        assert!(after < before + 64 * 1024, "{before} KiB grew to {after} KiB");
    }
    // The term and the lease are the same.
    let after = client.status("job").await.unwrap();
    assert_eq!(before.token, after.token);
    assert_eq!(before.lease.unwrap().id, after.lease.unwrap().id);
    assert!(election.status().is_leading() && stops.try_recv().is_err());
    server.get("/v1/locks/job").await.ok();
    election.shutdown().await;
}

/// Returns the resident memory of this process in KiB, if it is known.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
