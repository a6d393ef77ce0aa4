//! What is at our keys, and the scripts that read them.

use std::sync::Arc;

use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::extended;
use leasehold_core::{ErrorKind, RenewOptions, RenewOutcome};

use super::Redis;
use super::own::{LONG, fresh, name, open, presence};
use super::place::Place;

pub(super) async fn what_is_not_ours_is_left_alone(backend: Arc<Redis>) -> CaseResult {
    let (place, namespace) = (backend.place().await?, fresh());
    let client = open(place.url(), &namespace).await?;
    let good = client.take(&name("good"), LONG).await?;
    let key = |name: &str| format!("{namespace}:lock:{name}");
    place.run(&["SET", &key("text"), "mine"]).await?;
    place.run(&["HSET", &key("hash"), "mine", "1"]).await?;
    place.run(&["HSET", &key("half"), "token", "7", "lease", "x"]).await?;
    let mut batch = vec![RenewOptions { name: good.name.clone(), lease: good.lease, ttl: LONG }];
    for name in ["text", "hash", "half"].map(name) {
        let before = place.run(&["DUMP", &key(name.as_str())]).await?;
        let error = client.take(&name, LONG).await.expect_err("it is granted");
        assert!(format!("{error:?}").contains("the key of "), "{error:?}");
        let error = client.store().get(&name).await.expect_err("it is read");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(name.as_str()), "{error}");
        batch.push(RenewOptions { name: name.clone(), lease: good.lease, ttl: LONG });
        assert_eq!(place.run(&["DUMP", &key(name.as_str())]).await?, before);
    }
    let renewed = client.store().renew(&batch).await?;
    assert!(matches!(renewed[0], RenewOutcome::Extended { .. }), "{renewed:?}");
    assert!(renewed[1..].iter().all(|one| *one == RenewOutcome::Lost), "{renewed:?}");
    place.run(&["DEL", &key("text"), &key("hash"), &key("half"), &key("good")]).await?;
    Ok(())
}

pub(super) async fn a_damaged_instance_hides_no_other(backend: Arc<Redis>) -> CaseResult {
    let (place, namespace) = (backend.place().await?, fresh());
    let client = open(place.url(), &namespace).await?;
    let (good, here) = (presence(), presence());
    client.store().announce(&good, LONG).await?;
    let key = format!("{namespace}:instance:{}", here.holder.instance);
    let (said, other) = (serde_json::to_string(&here)?, serde_json::to_string(&good)?);
    for damage in [
        // Attached to no time to live, no JSON, another's words, another type, no instance's key.
        vec!["SET", &key, &said],
        vec!["SET", &key, "mine", "PX", "100000"],
        vec!["SET", &key, &other, "PX", "100000"],
        vec!["HSET", &key, "mine", "1"],
        vec!["SET", &format!("{key}:mine"), &said, "PX", "100000"],
    ] {
        place.run(&damage).await?;
        let before = place.run(&["DUMP", damage[1]]).await?;
        let known = client.store().instances().await?;
        assert_eq!(known.len(), 1, "{damage:?}: {known:?}");
        assert_eq!(known[0].presence, good);
        assert_eq!(place.run(&["DUMP", damage[1]]).await?, before, "{damage:?}");
        place.run(&["DEL", damage[1]]).await?;
    }
    // What an instance says counts in place of anything.
    place.run(&["HSET", &key, "mine", "1"]).await?;
    client.store().announce(&here, LONG).await?;
    assert_eq!(client.store().instances().await?.len(), 2);
    for instance in [here.holder.instance, good.holder.instance] {
        client.store().withdraw(instance).await?;
    }
    assert_eq!(client.store().instances().await?, []);
    Ok(())
}

pub(super) async fn forgotten_scripts_come_back(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (place, namespace) = (Place::start(backend.image, &[]).await?, fresh());
    let client = open(place.url(), &namespace).await?;
    let taken = client.take(&name("job"), LONG).await?;
    place.run(&["SCRIPT", "FLUSH"]).await?;
    extended(client.renew(&taken.name, taken.lease, LONG).await?);
    place.run(&["SCRIPT", "FLUSH"]).await?;
    client.give_back(&taken).await?;
    Ok(())
}
