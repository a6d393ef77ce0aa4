//! The holder is a process that acquires a lease and does not release it.

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use leasehold::{
    AcquireOptions, AcquireOutcome, Client, Holder, LeaseId, LockName, OpenOptions, Settings,
    crash_release,
};

use crate::support::{NAME, TTL};

/// This argument starts a holder; the way in which it holds the lease and the store's URL follow.
pub(crate) const ARGUMENT: &str = "hold-a-lease";

/// Holds the lease, and says so. A process that this one has started is named too.
pub(crate) fn hold(way: &str, url: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = crash_release::open(url, &OpenOptions::default()).await.unwrap();
        let started = (way == "child").then(sleeping_process);
        if way == "dropped-store" {
            let options = AcquireOptions::new(LeaseId::new(), Holder::current(), TTL);
            let outcome = store.acquire(&LockName::new(NAME).unwrap(), &options).await.unwrap();
            assert!(matches!(outcome, AcquireOutcome::Granted(_)), "{outcome:?}");
            drop(store);
            say_held(started);
            loop {
                thread::sleep(TTL);
            }
        }
        let settings = Settings::new().ttl(TTL);
        let client = Client::builder(store).settings(settings).build().unwrap();
        let guard = client.lock(NAME).unwrap().acquire(TTL).await.unwrap();
        assert!(guard.is_held());
        say_held(started);
        if way == "exit" {
            std::process::exit(0);
        }
        std::future::pending::<()>().await;
    });
    ExitCode::FAILURE
}

/// Starts another program, which outlives this process.
#[allow(clippy::zombie_processes, reason = "this process is killed, and cannot wait for it")]
fn sleeping_process() -> u32 {
    let mut command = Command::new("sleep");
    command.arg("600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap().id()
}

fn say_held(started: Option<u32>) {
    let mut output = std::io::stdout();
    writeln!(output, "held {}", started.unwrap_or_default()).unwrap();
    output.flush().unwrap();
}
