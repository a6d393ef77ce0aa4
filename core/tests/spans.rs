//! Log lines of a term name the term, and each call to the store has a span.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use leasehold_core::{Client, MemoryStore, Status, TokioClock, job_from_fns};
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_and_store_calls_have_tracing_spans() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _subscriber = tracing::subscriber::set_default(subscriber);

    let clock = Arc::new(TokioClock::new());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let client = Client::builder(store).clock(clock).build().unwrap();
    let election = client.election("a").unwrap().spawn(job_from_fns(
        |_| async {
            tracing::info!("starts");
            Ok(())
        },
        |_| async { tracing::info!("stops") },
    ));
    election.watch().wait_for(Status::is_leading).await.unwrap();
    let token = election.status().token.unwrap();
    election.shutdown().await;
    drop(client);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let term = format!("term{{lock=\"a\" token={token}}}");
    for word in ["starts", "stops"] {
        let line = log.lines().find(|line| line.ends_with(word)).unwrap();
        assert!(line.contains(&term), "{line}");
    }
    for operation in ["acquire", "release"] {
        let call = format!("store_call{{operation=\"{operation}\" lock=\"a\" store=");
        let line = log.lines().find(|line| line.contains(&call)).unwrap();
        assert!(line.contains("outcome=\"ok\"}"), "{line}");
        assert!(!line.contains("term{"), "{line}");
    }
    assert!(log.lines().any(|line| line.contains(&term) && line.contains("close")), "{log}");
}
