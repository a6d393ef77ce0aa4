//! These cases cover the fence of the crate `leasehold-fence` on Redis and Valkey.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::CaseResult;
use leasehold_core::{ErrorKind, FencingToken};
use leasehold_fence::redis::RedisFence;
use leasehold_fence::{Error, Result, Term};
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::Redis;
use super::support::{fresh, name};

const TERMS: u64 = 20;
const WRITERS: u64 = 4;

/// The writers of the last term write this often; those of the others until they are refused.
const LAST_WRITES: u32 = 50;

fn term(token: u64) -> Term {
    Term::new(&name("ledger"), FencingToken::new(token).expect("it is one"))
}

/// Runs a script that only checks.
async fn check(fence: &RedisFence, connection: &mut MultiplexedConnection) -> Result<()> {
    let script = RedisFence::script("return redis.status_reply('OK')");
    let mut call = script.prepare_invoke();
    fence.bind(&mut call);
    call.invoke_async(connection).await.map_err(|cause| fence.error(cause))
}

/// Each term writes its number. So the numbers are sorted if no older term writes after a newer one,
/// and each term also writes once when its raise has returned.
pub(super) async fn no_script_of_an_older_term_writes_once_the_fence_is_raised(
    backend: Arc<Redis>,
) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let ledger = format!("{namespace}:ledger");
    let mut writers = JoinSet::new();
    for number in 1..=TERMS {
        let fence = RedisFence::new(&namespace, &term(number));
        let mut connection = endpoint.connection().await?;
        fence.raise(&mut connection).await?;
        endpoint.run(&["RPUSH", &ledger, &number.to_string()]).await?;
        for _ in 0..WRITERS {
            let (fence, ledger, mut connection) =
                (fence.clone(), ledger.clone(), endpoint.connection().await?);
            let limit = if number == TERMS { LAST_WRITES } else { u32::MAX };
            writers.spawn(async move {
                let script = RedisFence::script("return redis.call('RPUSH', KEYS[1], ARGV[1])");
                for _ in 0..limit {
                    let mut call = script.key(ledger.as_str());
                    fence.bind(call.arg(number));
                    if let Err(cause) = call.invoke_async::<i64>(&mut connection).await {
                        return Some(fence.error(cause));
                    }
                }
                None
            });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refusals: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    assert!(refusals.iter().all(Error::is_stale), "{refusals:?}");
    assert_eq!(refusals.len() as u64, (TERMS - 1) * WRITERS);
    let written = endpoint.run(&["LRANGE", &ledger, "0", "-1"]).await?;
    let written = <Vec<u64> as redis::FromRedisValue>::from_redis_value(written)?;
    assert!(written.is_sorted(), "{written:?}");
    endpoint.run(&["DEL", &ledger, RedisFence::new(&namespace, &term(1)).key()]).await?;
    Ok(())
}

pub(super) async fn a_raise_discards_a_watched_transaction(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let ledger = format!("{namespace}:ledger");
    let fence = RedisFence::new(&namespace, &term(7));
    let mut connection = endpoint.connection().await?;
    let mut write = redis::pipe();
    write.atomic().cmd("RPUSH").arg(ledger.as_str()).arg(7);

    let unraised = fence.watch(&mut connection).await;
    assert!(matches!(unraised, Err(Error::NotRaised(_))), "{unraised:?}");
    fence.raise(&mut connection).await?;
    fence.watch(&mut connection).await?;
    let written: Option<(i64,)> = write.query_async(&mut connection).await?;
    assert_eq!(written, Some((1,)));

    fence.watch(&mut connection).await?;
    let newer = RedisFence::new(&namespace, &term(8));
    newer.raise(&mut endpoint.connection().await?).await?;
    let written: Option<(i64,)> = write.query_async(&mut connection).await?;
    assert_eq!(written, None);
    for refused in [fence.watch(&mut connection).await, fence.raise(&mut connection).await] {
        let Err(Error::Stale(stale)) = refused else { panic!("{refused:?}") };
        assert_eq!(stale.newer.map(FencingToken::get), Some(8));
    }
    endpoint.run(&["DEL", &ledger, fence.key()]).await?;
    Ok(())
}

/// A lock with several holders accepts each token from the floor on.
pub(super) async fn a_fence_with_a_floor_accepts_all_tokens_from_it_on(
    backend: Arc<Redis>,
) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let fence = |token, floor| {
        let floor = FencingToken::new(floor).expect("it is one");
        RedisFence::new(&namespace, &term(token).with_floor(floor).expect("it is one"))
    };
    let mut connection = endpoint.connection().await?;
    let (first, second, third) = (fence(5, 5), fence(7, 5), fence(9, 7));
    first.raise(&mut connection).await?;
    second.raise(&mut connection).await?;
    check(&first, &mut connection).await?;
    check(&second, &mut connection).await?;
    // The first holder is gone.
    third.raise(&mut connection).await?;
    check(&second, &mut connection).await?;
    check(&third, &mut connection).await?;
    assert!(check(&first, &mut connection).await.is_err_and(|error| error.is_stale()));
    endpoint.run(&["DEL", first.key()]).await?;
    Ok(())
}

pub(super) async fn foreign_fence_keys_are_not_overwritten(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let fence = RedisFence::new(&namespace, &term(7));
    let mut connection = endpoint.connection().await?;
    for words in [["SET", fence.key(), "mine"], ["RPUSH", fence.key(), "mine"]] {
        endpoint.run(&words).await?;
        let before = endpoint.run(&["DUMP", fence.key()]).await?;
        for refused in [fence.raise(&mut connection).await, fence.watch(&mut connection).await] {
            let Err(Error::Datastore(error)) = refused else { panic!("{refused:?}") };
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        assert_eq!(endpoint.run(&["DUMP", fence.key()]).await?, before);
        endpoint.run(&["DEL", fence.key()]).await?;
    }
    Ok(())
}

/// Only the fence's own key can be foreign to it.
pub(super) async fn an_error_of_the_script_s_own_code_is_not_the_fence_s(
    backend: Arc<Redis>,
) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let ledger = format!("{namespace}:ledger");
    let fence = RedisFence::new(&namespace, &term(7));
    let mut connection = endpoint.connection().await?;
    fence.raise(&mut connection).await?;
    endpoint.run(&["RPUSH", &ledger, "mine"]).await?;
    let script = RedisFence::script("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let mut call = script.key(ledger.as_str());
    fence.bind(call.arg(1));
    let failed = call.invoke_async::<i64>(&mut connection).await;
    let failed = failed.map_err(|cause| fence.error(cause));
    let Err(Error::Datastore(error)) = failed else { panic!("{failed:?}") };
    // The code may have written before.
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    endpoint.run(&["DEL", &ledger, fence.key()]).await?;
    Ok(())
}

/// Without the fence the script would check its own last key by its own last arguments.
pub(super) async fn a_script_without_its_fence_is_refused(backend: Arc<Redis>) -> CaseResult {
    let (endpoint, namespace) = (backend.endpoint().await?, fresh());
    let ledger = format!("{namespace}:ledger");
    let (fence, newer) =
        (RedisFence::new(&namespace, &term(7)), RedisFence::new(&namespace, &term(8)));
    let mut connection = endpoint.connection().await?;
    newer.raise(&mut connection).await?;
    endpoint.run(&["SET", &ledger, "7"]).await?;
    let script = RedisFence::script("return redis.call('SET', KEYS[1], 'written')");
    let new_call = || {
        let mut call = script.key(ledger.as_str());
        call.arg(7).arg(7);
        call
    };
    let unbound = new_call();
    let (mut argument, mut key, mut twice) = (new_call(), new_call(), new_call());
    newer.bind(&mut argument);
    argument.arg(7);
    newer.bind(&mut key);
    key.key(ledger.as_str());
    fence.bind(&mut twice);
    newer.bind(&mut twice);
    for call in [unbound, argument, key, twice] {
        let refused = call.invoke_async::<()>(&mut connection).await;
        let refused = refused.map_err(|cause| fence.error(cause));
        let Err(Error::Datastore(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let kept = endpoint.run(&["GET", &ledger]).await?;
    assert_eq!(<String as redis::FromRedisValue>::from_redis_value(kept)?, "7");
    let mut call = new_call();
    newer.bind(&mut call);
    call.invoke_async::<()>(&mut connection).await?;
    endpoint.run(&["DEL", &ledger, fence.key()]).await?;
    Ok(())
}
