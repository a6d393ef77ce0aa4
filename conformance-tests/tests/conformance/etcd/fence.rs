//! These cases cover the fence of the crate `leasehold-fence` on etcd.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Compare, GetOptions, SortOrder, SortTarget, Txn, TxnOp};
use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::{ErrorKind, FencingToken};
use leasehold_fence::etcd::EtcdFence;
use leasehold_fence::{Error, Term};
use tokio::task::JoinSet;

use super::support::{TTL, connect, name, namespace};
use super::{Etcd, client};
use crate::broken::broken;

const TERMS: u64 = 20;
const WRITERS: u64 = 4;

/// The writers of the last term write this often; those of the others until they are refused.
const LAST_WRITES: u32 = 50;

fn term(token: u64) -> Term {
    Term::new(&name("ledger"), FencingToken::new(token).expect("it is one"))
}

/// Writes the value under a new key if the comparisons are true, and returns whether they were.
async fn write(
    client: &mut Client,
    ledger: &str,
    value: u64,
    compares: Vec<Compare>,
) -> CaseResult<bool> {
    let put = TxnOp::put(format!("{ledger}{:016x}", fastrand::u64(..)), value.to_string(), None);
    let done = client.txn(Txn::new().when(compares).and_then([put])).await.map_err(broken)?;
    Ok(done.succeeded())
}

/// Each term writes its number. So the numbers are sorted by their revisions if no older term writes
/// after a newer one, and each term also writes once when its raise has returned.
pub(super) async fn no_transaction_of_an_older_term_commits_once_the_fence_is_raised(
    backend: Arc<Etcd>,
) -> CaseResult {
    let namespace = namespace()?;
    let ledger = format!("/{namespace}/ledger/");
    let mut writers = JoinSet::new();
    let mut raiser = client(backend.address()).await.map_err(broken)?;
    for number in 1..=TERMS {
        let fence = EtcdFence::new(&namespace, &term(number));
        fence.raise(&mut raiser.kv_client()).await?;
        assert!(write(&mut raiser, &ledger, number, Vec::new()).await?);
        for _ in 0..WRITERS {
            let (fence, ledger) = (fence.clone(), ledger.clone());
            let mut client = client(backend.address()).await.map_err(broken)?;
            let limit = if number == TERMS { LAST_WRITES } else { u32::MAX };
            writers.spawn(async move {
                for _ in 0..limit {
                    if !write(&mut client, &ledger, number, fence.compares()).await? {
                        return Ok(fence.verify(&mut client.kv_client()).await.err());
                    }
                }
                Ok::<_, Failure>(None)
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut refused = 0;
    for writer in writers.join_all().await {
        if let Some(refusal) = writer? {
            assert!(refusal.is_stale(), "{refusal}");
            refused += 1;
        }
    }
    assert_eq!(refused, (TERMS - 1) * WRITERS);
    let sorted = GetOptions::new().with_prefix().with_sort(SortTarget::Mod, SortOrder::Ascend);
    let written = raiser.get(ledger.as_str(), Some(sorted)).await.map_err(broken)?;
    let numbers: Vec<u64> = written
        .kvs()
        .iter()
        .map(|pair| std::str::from_utf8(pair.value()).unwrap().parse().unwrap())
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert!(numbers.len() as u64 >= TERMS);
    Ok(())
}

/// The token is the revision of the grant.
pub(super) async fn a_write_is_conditional_on_the_grant_itself(backend: Arc<Etcd>) -> CaseResult {
    let namespace = namespace()?;
    let ledger = format!("/{namespace}/ledger/");
    let store = connect(backend.url(), &namespace).await?;
    let mut raw = client(backend.address()).await.map_err(broken)?;
    let mut older: Option<EtcdFence> = None;
    for _ in 0..2 {
        let held = store.acquire_free(&name("ledger"), TTL).await?;
        let fence = EtcdFence::new(&namespace, &Term::new(&held.name, held.token));
        assert!(write(&mut raw, &ledger, 1, vec![fence.compare_grant()]).await?);
        if let Some(older) = older {
            assert!(!write(&mut raw, &ledger, 0, vec![older.compare_grant()]).await?);
        }
        store.release_held(&held).await?;
        older = Some(fence);
    }
    Ok(())
}

/// A lock with several holders accepts each token from the floor on.
pub(super) async fn a_fence_with_a_floor_accepts_all_tokens_from_it_on(
    backend: Arc<Etcd>,
) -> CaseResult {
    let namespace = namespace()?;
    let ledger = format!("/{namespace}/ledger/");
    let mut raw = client(backend.address()).await.map_err(broken)?;
    let fence = |token, floor| {
        let floor = FencingToken::new(floor).expect("it is one");
        EtcdFence::new(&namespace, &term(token).with_floor(floor).expect("it is one"))
    };
    let (first, second, third) = (fence(5, 5), fence(7, 5), fence(9, 7));
    assert!(!write(&mut raw, &ledger, 5, first.compares()).await?);
    let unraised = first.verify(&mut raw.kv_client()).await;
    assert!(matches!(unraised, Err(Error::NotRaised(_))), "{unraised:?}");
    first.raise(&mut raw.kv_client()).await?;
    second.raise(&mut raw.kv_client()).await?;
    assert!(write(&mut raw, &ledger, 5, first.compares()).await?);
    assert!(write(&mut raw, &ledger, 7, second.compares()).await?);
    // The first holder is gone.
    third.raise(&mut raw.kv_client()).await?;
    assert!(write(&mut raw, &ledger, 7, second.compares()).await?);
    assert!(write(&mut raw, &ledger, 9, third.compares()).await?);
    assert!(!write(&mut raw, &ledger, 5, first.compares()).await?);
    assert!(first.raise(&mut raw.kv_client()).await.is_err_and(|error| error.is_stale()));
    Ok(())
}

pub(super) async fn foreign_fence_keys_are_not_overwritten(backend: Arc<Etcd>) -> CaseResult {
    let namespace = namespace()?;
    let mut raw = client(backend.address()).await.map_err(broken)?;
    let fence = EtcdFence::new(&namespace, &term(7));
    raw.put(fence.key(), "mine", None).await.map_err(broken)?;
    let refused = fence.raise(&mut raw.kv_client()).await;
    let Err(Error::Datastore(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let kept = raw.get(fence.key(), None).await.map_err(broken)?;
    assert_eq!(kept.kvs()[0].value(), b"mine");
    Ok(())
}
