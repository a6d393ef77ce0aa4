//! These cases cover servers that are unavailable or not MongoDB.

use std::sync::Arc;
use std::time::Duration;

use leasehold::OpenOptions;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::CaseResult;
use leasehold_core::ErrorKind;
use tokio::time::timeout;

use super::support::full_message;
use crate::fake_server::{FakeServer, ServerBehaviour};
use crate::mongodb::backend::MongoDb;

/// No call takes as long as this, unless it hangs.
const CALL: Duration = Duration::from_secs(100);

pub(super) async fn a_server_that_is_not_mongodb_is_refused(_: Arc<MongoDb>) -> CaseResult {
    let tries = [ServerBehaviour::Closes, ServerBehaviour::IsSilent, ServerBehaviour::HTTP].map(
        |behaviour| async move {
            let server = FakeServer::start(behaviour).await?;
            let url = format!("mongodb://user:secret@{}/app", server.address());
            let options = OpenOptions::default();
            let opened = timeout(CALL, MongoStore::connect(&url, &options)).await?;
            CaseResult::Ok((behaviour, opened.map(drop)))
        },
    );
    for tried in futures_util::future::join_all(tries).await {
        let (behaviour, opened) = tried?;
        let error = opened.expect_err("this is not MongoDB");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{behaviour:?}: {error}");
        assert!(error.to_string().contains("MongoDB"), "{behaviour:?}: {error}");
        assert!(!full_message(&error).contains("secret"), "{error}");
    }
    Ok(())
}
