//! Resources stay constant during a soak of a minute, and planted leaks are noticed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use leasehold_verification::export_figure;
use leasehold_verification::soak::{Leak, SoakResult, growth, soak};

/// The soaks run one after the other, because they share a process whose memory is measured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_stay_constant_and_planted_leaks_are_caught() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("soak.db").display());
    for (what, store) in [("memory", "memory:"), ("SQLite", &*file)] {
        // On a busy machine it takes longer until enough has happened.
        let enough = |soaked: &SoakResult| soaked.locks > 1000 && soaked.terms > 100;
        let mut soaked = soak(store, Duration::from_secs(30), None).await.unwrap();
        for minutes in [1, 3] {
            if !enough(&soaked) {
                soaked = soak(store, Duration::from_secs(60 * minutes), None).await.unwrap();
            }
        }
        export_figure(&format!("soak on {what}: {soaked}"));
        assert_eq!((growth(&soaked.samples), soaked.left), (Vec::new(), 0), "{soaked}");
        assert!(enough(&soaked), "too little happened: {soaked}");
    }
    for (leak, what) in [
        (Leak::Files, "files"),
        (Leak::Connections, "connections"),
        (Leak::Memory, "memory (KiB)"),
        (Leak::Tasks, "tasks"),
    ] {
        let mut noticed = false;
        for seconds in [9, 30, 90] {
            let soaked = soak("memory:", Duration::from_secs(seconds), Some(leak)).await.unwrap();
            noticed = growth(&soaked.samples).iter().any(|growth| growth.what == what);
            println!("{leak:?}: {soaked}");
            if noticed {
                break;
            }
        }
        assert!(noticed, "{leak:?} is not noticed");
    }
}
