//! These cases cover foreign values at the store's keys, and the scripts that read them.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::CaseResult;
use leasehold_conformance::expect::extended;
use leasehold_core::{
    ListOptions, LockState, LockStoreExt, PruneOptions, RenewOptions, RenewOutcome,
};

use super::Redis;
use super::endpoint::Endpoint;
use super::support::{LONG, fresh, name, open, presence};

pub(super) async fn foreign_keys_are_reported_and_not_changed(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let good = client.acquire_free(&name("good"), LONG).await?;
    let key = |name: &str| format!("{namespace}:lock:{name}");
    let reasons = ["the record of this lock is corrupt", "holds a foreign value"];
    let is_corrupt = |message: &str| reasons.iter().any(|reason| message.contains(reason));
    endpoint.run(&["SET", &key("text"), "mine"]).await?;
    endpoint.run(&["HSET", &key("hash"), "mine", "1"]).await?;
    endpoint.run(&["HSET", &key("half"), "token", "7", "lease", "x"]).await?;
    let mut batch = vec![RenewOptions::new(good.name.clone(), good.lease, LONG)];
    for name in ["text", "hash", "half"].map(name) {
        let before = endpoint.run(&["DUMP", &key(name.as_str())]).await?;
        let error = client.acquire_free(&name, LONG).await.expect_err("it is granted");
        assert!(is_corrupt(&format!("{error:?}")), "{error:?}");
        let record = client.store().get(&name).await?.expect("a record");
        let why = record.corrupt.expect("the record is damaged");
        assert!(is_corrupt(&why), "{why}");
        batch.push(RenewOptions::new(name.clone(), good.lease, LONG));
        assert_eq!(endpoint.run(&["DUMP", &key(name.as_str())]).await?, before);
    }
    let renewed = client.store().renew(&batch).await?;
    assert!(matches!(renewed[0], RenewOutcome::Extended { .. }), "{renewed:?}");
    let unknown = |one: &RenewOutcome| matches!(one, RenewOutcome::Unknown { .. });
    assert!(renewed[1..].iter().all(unknown), "{renewed:?}");
    // These keys hide no other name, and a prune leaves them alone.
    let listed = client.store().list_all("").await?;
    let corrupt: Vec<_> =
        listed.iter().map(|record| (record.name.as_str(), record.corrupt.is_some())).collect();
    assert_eq!(corrupt, [("good", false), ("half", true), ("hash", true), ("text", true)]);
    let unused = PruneOptions::default().with_unused_for(Duration::ZERO).with_dry_run(false);
    assert_eq!(client.store().prune(&unused).await?, []);
    endpoint.run(&["DEL", &key("text"), &key("hash"), &key("half"), &key("good")]).await?;
    Ok(())
}

pub(super) async fn unknown_fields_are_kept_and_later_versions_are_refused(
    backend: Arc<Redis>,
) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let key = format!("{namespace}:lock:job");
    let taken = client.acquire_free(&name("job"), LONG).await?;
    endpoint.run(&["HSET", &key, "later", "kept", "v", "1"]).await?;
    extended(client.renew(&taken.name, taken.lease, LONG).await?);
    client.disable(&taken.name, "upkeep").await?;
    client.release_held(&taken).await?;
    client.enable(&taken.name).await?;
    let kept =
        endpoint.run(&["HMGET", &key, "later", "v", "token", "lease", "disabled_at"]).await?;
    let token = taken.token.to_string();
    let kept = <Vec<Option<String>> as redis::FromRedisValue>::from_redis_value(kept)?;
    let kept: Vec<_> = kept.iter().map(Option::as_deref).collect();
    assert_eq!(kept, [Some("kept"), Some("1"), Some(&*token), None, None]);
    let again = client.acquire_free(&taken.name, LONG).await?;
    assert!(again.token > taken.token);
    endpoint.run(&["HSET", &key, "v", "2"]).await?;
    let error = client.acquire_free(&taken.name, LONG).await.expect_err("it is of a later version");
    assert!(format!("{error:?}").contains("later version"), "{error:?}");
    let listed = client.store().list_all("").await?;
    assert_eq!(listed[0].state(), LockState::Corrupt);
    assert!(listed[0].corrupt.as_ref().is_some_and(|why| why.contains("later version")));
    assert_eq!(
        endpoint.run(&["HGET", &key, "later"]).await?,
        redis::Value::BulkString(b"kept".to_vec())
    );
    endpoint.run(&["DEL", &key]).await?;
    Ok(())
}

pub(super) async fn a_record_of_a_free_name_is_stored_compactly(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let key = format!("{namespace}:lock:job");
    let encoding = async || endpoint.run(&["OBJECT", "ENCODING", &key]).await;
    for disabled in [false, true] {
        let taken = client.acquire_free(&name("job"), LONG).await?;
        assert_eq!(encoding().await?, redis::Value::BulkString(b"hashtable".to_vec()));
        if disabled {
            client.disable(&taken.name, &"because ".repeat(20)).await?;
        }
        client.release_held(&taken).await?;
        if disabled {
            client.enable(&taken.name).await?;
        }
        assert_eq!(encoding().await?, redis::Value::BulkString(b"listpack".to_vec()));
        assert_eq!(client.get(&taken.name).await?.and_then(|one| one.token), Some(taken.token));
    }
    endpoint.run(&["DEL", &key]).await?;
    Ok(())
}

pub(super) async fn a_listing_scans_the_keys_once(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let fill = "for i = 1, 5000 do redis.call('SET', 'filler' .. i, i) end \
                for i = 1, 95 do redis.call('HSET', ARGV[1] .. i, 'token', i) end";
    endpoint.run(&["EVAL", fill, "0", &format!("{namespace}:lock:job ")]).await?;
    let scans = async || {
        let reply = endpoint.run(&["INFO", "commandstats"]).await?;
        let reply = <String as redis::FromRedisValue>::from_redis_value(reply)?;
        let scans = reply.lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls="));
        let scans = scans.and_then(|rest| rest.split(',').next()).unwrap_or("0");
        CaseResult::Ok(scans.parse::<u64>()?)
    };
    let pages = async |limit: usize| {
        let before = scans().await?;
        let (mut page, mut names) = (ListOptions::default().with_limit(limit), Vec::new());
        loop {
            let found = client.store().list(&page).await?;
            page.after = found.last().map(|record| record.name.clone());
            names.extend(found.into_iter().map(|record| record.name));
            if page.after.is_none() {
                break;
            }
        }
        CaseResult::Ok((names, scans().await? - before))
    };
    // The last page of each listing is empty, and begins where a page that was not full ended.
    let (all, once) = pages(1000).await?;
    let (by_ten, in_pages) = pages(10).await?;
    println!("{}: {once} scans for one page, {in_pages} for ten", backend.image.name);
    assert_eq!((all.len(), &by_ten), (95, &all));
    assert_eq!(in_pages, once, "a page scans again");
    // A new listing has the present names.
    client.acquire_free(&name("a new one"), LONG).await?;
    assert_eq!(pages(10).await?.0.len(), 96);
    Ok(())
}

pub(super) async fn a_corrupt_instance_record_hides_no_other(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let (good, here) = (presence(), presence());
    client.store().announce(&good, LONG).await?;
    let key = format!("{namespace}:instance:{}", here.holder.instance);
    let (text, other) = (serde_json::to_string(&here)?, serde_json::to_string(&good)?);
    for damage in [
        // These have no time to live, are not JSON, are another instance's announcement, have
        // another type, or are not at an instance's key.
        vec!["SET", &key, &text],
        vec!["SET", &key, "mine", "PX", "100000"],
        vec!["SET", &key, &other, "PX", "100000"],
        vec!["HSET", &key, "mine", "1"],
        vec!["SET", &format!("{key}:mine"), &text, "PX", "100000"],
    ] {
        endpoint.run(&damage).await?;
        let before = endpoint.run(&["DUMP", damage[1]]).await?;
        let known = client.store().instances().await?;
        assert_eq!(known.len(), 1, "{damage:?}: {known:?}");
        assert_eq!(known[0].presence, good);
        assert_eq!(endpoint.run(&["DUMP", damage[1]]).await?, before, "{damage:?}");
        endpoint.run(&["DEL", damage[1]]).await?;
    }
    // An announcement replaces any other value.
    endpoint.run(&["HSET", &key, "mine", "1"]).await?;
    client.store().announce(&here, LONG).await?;
    assert_eq!(client.store().instances().await?.len(), 2);
    for instance in [here.holder.instance, good.holder.instance] {
        client.store().withdraw(instance).await?;
    }
    assert_eq!(client.store().instances().await?, []);
    Ok(())
}

pub(super) async fn flushed_scripts_are_loaded_again(backend: Arc<Redis>) -> CaseResult {
    backend.needs_containers()?;
    let (endpoint, namespace) = (Endpoint::start(backend.image, &[]).await?, fresh());
    let client = open(endpoint.url(), &namespace).await?;
    let taken = client.acquire_free(&name("job"), LONG).await?;
    endpoint.run(&["SCRIPT", "FLUSH"]).await?;
    extended(client.renew(&taken.name, taken.lease, LONG).await?);
    endpoint.run(&["SCRIPT", "FLUSH"]).await?;
    client.release_held(&taken).await?;
    Ok(())
}
