//! These cases cover damaged rows: they hide no other name, and are not pruned.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::{Backend, CaseResult};
use leasehold_core::{ListOptions, LockState, PruneOptions};

use super::Postgres;
use super::support::{LONG, fresh, name};

pub(super) async fn a_corrupt_row_hides_no_other_name(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    for job in ["a", "b", "c", "d"] {
        client.acquire_free(&name(job), LONG).await?;
    }
    backend
        .execute(format!(
            "UPDATE {namespace}_locks SET holder = 'no JSON' WHERE name = 'b'; \
             UPDATE {namespace}_locks SET expires_at = NULL WHERE name = 'c'; \
             INSERT INTO {namespace}_locks (name, token) VALUES ('', 1), (repeat('b', 300), 1)"
        ))
        .await?;
    for limit in [1, 2, 3, 100] {
        let mut found = Vec::new();
        let mut page = ListOptions::default().with_limit(limit);
        loop {
            let records = client.store().list(&page).await?;
            let Some(last) = records.last() else { break };
            page.after = Some(last.name.clone());
            found.extend(records.into_iter().map(|r| (r.name.to_string(), r.state())));
        }
        let found: Vec<_> = found.iter().map(|(name, state)| (name.as_str(), *state)).collect();
        let (held, corrupt) = (LockState::Held, LockState::Corrupt);
        assert_eq!(found, [("a", held), ("b", corrupt), ("c", corrupt), ("d", held)]);
    }
    let records = client.store().list(&ListOptions::default()).await?;
    let why = records[1].corrupt.as_deref().unwrap_or_default();
    assert!(why.contains("holder"), "{why}");
    backend.clean(&namespace).await?;
    Ok(())
}

pub(super) async fn a_corrupt_row_is_not_pruned(backend: Arc<Postgres>) -> CaseResult {
    let namespace = fresh();
    let client = backend.connect(backend.url(), &namespace).await?;
    for job in ["a", "b", "c"] {
        client.release_held(&client.acquire_free(&name(job), LONG).await?).await?;
    }
    let damage = format!("UPDATE {namespace}_locks SET holder = 'no JSON' WHERE name = 'a'");
    backend.execute(damage).await?;
    let options =
        PruneOptions::default().with_unused_for(Duration::ZERO).with_limit(1).with_dry_run(false);
    for job in ["b", "c"] {
        assert_eq!(client.store().prune(&options).await?, [name(job)]);
    }
    assert_eq!(client.store().prune(&options).await?, []);
    assert_eq!(client.names("").await?, [name("a")]);
    backend.clean(&namespace).await?;
    Ok(())
}
