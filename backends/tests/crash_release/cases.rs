//! Each case is a process that ends, or does not, while it holds a lease of an hour.

use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use leasehold::{OpenOptions, crash_release};
use rustix::process::Signal;

use crate::support::{Bench, is_alive, send, wait_for_children, wait_for_end};

macro_rules! cases {
    ($($case:ident,)*) => {
        pub(crate) const ALL: &[(&str, fn())] = &[$((stringify!($case), $case)),*];
    };
}

cases! {
    a_killed_process_has_its_lease_released_and_its_helper_ends,
    a_process_that_exits_without_a_release_has_its_lease_released,
    the_helper_ignores_signals_for_the_application,
    a_stopped_process_keeps_its_lease,
    a_store_that_is_dropped_by_a_process_that_continues_releases_nothing,
    another_program_that_the_process_started_delays_no_release,
    without_its_helper_a_killed_process_leaves_its_lease_to_expire,
    a_start_that_is_dropped_leaves_no_process,
    a_store_in_the_memory_of_the_process_is_refused,
}

fn a_killed_process_has_its_lease_released_and_its_helper_ends() {
    let bench = Bench::new();
    let mut process = bench.hold("lock");
    assert!(bench.is_held());
    let helper = process.helper();
    assert!(helper.is_some() || !cfg!(target_os = "linux"));
    process.kill();
    bench.acquire();
    wait_for_end(helper);
}

fn a_process_that_exits_without_a_release_has_its_lease_released() {
    let bench = Bench::new();
    let mut process = bench.hold("exit");
    process.wait();
    bench.acquire();
}

fn the_helper_ignores_signals_for_the_application() {
    let bench = Bench::new();
    let mut process = bench.hold("lock");
    if let Some(helper) = process.helper() {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
            send(helper, signal);
        }
    }
    process.kill();
    bench.acquire();
}

fn a_stopped_process_keeps_its_lease() {
    let bench = Bench::new();
    let process = bench.hold("lock");
    process.signal(Signal::STOP);
    thread::sleep(Duration::from_millis(300));
    assert!(bench.is_held());
}

fn a_store_that_is_dropped_by_a_process_that_continues_releases_nothing() {
    let bench = Bench::new();
    let mut process = bench.hold("dropped-store");
    wait_for_end(process.helper());
    assert!(bench.is_held());
    process.kill();
    assert!(bench.is_held());
}

fn another_program_that_the_process_started_delays_no_release() {
    let bench = Bench::new();
    let mut process = bench.hold("child");
    process.kill();
    bench.acquire();
    assert!(is_alive(process.started) || !cfg!(target_os = "linux"));
}

/// This shows that nothing but the helper releases the lease in the other cases.
fn without_its_helper_a_killed_process_leaves_its_lease_to_expire() {
    let bench = Bench::new();
    let mut process = bench.hold("lock");
    let Some(helper) = process.helper() else { return };
    send(helper, Signal::KILL);
    wait_for_end(Some(helper));
    process.kill();
    assert!(bench.is_held());
}

fn a_start_that_is_dropped_leaves_no_process() {
    let bench = Bench::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = OpenOptions::default();
        let store = leasehold::url::open(&bench.url, &options).await.unwrap();
        // The helper runs after the first poll, and is not ready yet.
        drop(crash_release::wrap(store, &bench.url, &options).now_or_never());
    });
    wait_for_children();
}

fn a_store_in_the_memory_of_the_process_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let opened = runtime.block_on(crash_release::open("memory:", &OpenOptions::default()));
    assert!(opened.unwrap_err().is_unsupported());
}
