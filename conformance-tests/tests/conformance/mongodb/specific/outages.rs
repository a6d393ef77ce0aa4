//! These cases cover servers that are unavailable or not MongoDB.

use std::time::Duration;

use leasehold::OpenOptions;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::CaseResult;
use leasehold_core::ErrorKind;
use tokio::time::timeout;

use super::support::full_message;
use crate::fake_server::{Conduct, FakeServer};

/// No call takes as long as this, unless it hangs.
const CALL: Duration = Duration::from_secs(100);

pub(super) async fn no_mongodb() -> CaseResult {
    let tries = [Conduct::Closes, Conduct::IsSilent, Conduct::HTTP].map(|conduct| async move {
        let server = FakeServer::start(conduct).await?;
        let url = format!("mongodb://user:secret@{}/app", server.address());
        let options = OpenOptions::default();
        let opened = timeout(CALL, MongoStore::connect(&url, &options)).await?;
        CaseResult::Ok((conduct, opened.map(drop)))
    });
    for tried in futures_util::future::join_all(tries).await {
        let (conduct, opened) = tried?;
        let error = opened.expect_err("this is not MongoDB");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{conduct:?}: {error}");
        assert!(error.to_string().contains("MongoDB"), "{conduct:?}: {error}");
        assert!(!full_message(&error).contains("secret"), "{error}");
    }
    Ok(())
}
