//! Resources stay constant during a soak of a minute, and planted leaks are noticed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use leasehold_verification::export_figure;
use leasehold_verification::soak::{Leak, Load, SoakResult, growth, soak};

/// The soaks run one after the other, because they share a process whose memory is measured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_stay_constant_and_planted_leaks_are_caught() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("soak.db").display());
    for (what, store) in [("memory", "memory:"), ("SQLite", &*file)] {
        let enough = |soaked: &SoakResult| soaked.locks > 1000 && soaked.terms > 100;
        let mut load = Load::default();
        let mut soaked = soak(store, Duration::from_secs(30), load, None).await.unwrap();
        // A busy machine cannot serve the whole load, and needs longer until enough has happened.
        for minutes in [1, 3] {
            if !enough(&soaked) {
                load = load.quarter();
                let time = Duration::from_secs(60 * minutes);
                soaked = soak(store, time, load, None).await.unwrap();
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
            let time = Duration::from_secs(seconds);
            let soaked = soak("memory:", time, Load::default(), Some(leak)).await.unwrap();
            noticed = growth(&soaked.samples).iter().any(|growth| growth.what == what);
            println!("{leak:?}: {soaked}");
            if noticed {
                break;
            }
        }
        assert!(noticed, "{leak:?} is not noticed");
    }
}
