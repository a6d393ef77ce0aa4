//! These cases cover the fence of the crate `leasehold-fence` on MongoDB.

use std::sync::Arc;
use std::time::Duration;

use leasehold_conformance::{CaseResult, Failure};
use leasehold_core::{ErrorKind, FencingToken, LockName, Result};
use leasehold_fence::mongodb::{MongoFence, callback_error};
use leasehold_fence::{Error, Term};
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind as CauseKind;

use super::support::new_namespace;
use crate::mongodb::backend::MongoDb;

fn term(token: u64) -> Result<Term> {
    Ok(Term::new(&LockName::new("ledger")?, FencingToken::new(token)?))
}

/// A raise waits for the transaction that has checked before, and then no older one can check.
pub(super) async fn a_raise_waits_for_an_older_transaction(this: Arc<MongoDb>) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let database = endpoint.database();
    let ledger = database.collection::<Document>(&format!("{namespace}_ledger"));
    ledger.insert_one(doc! { "_id": 1, "balance": 0 }).await?;
    let [older, newer] = [term(7)?, term(8)?].map(|it| MongoFence::new(database, &namespace, &it));
    older.raise(Duration::from_secs(60)).await?;

    let mut session = database.client().start_session().await?;
    session.start_transaction().await?;
    match older.check(&mut session).await {
        Err(Error::Datastore(error)) => {
            return Err(Failure::ignored(format!("this server has no transactions: {error}")));
        }
        checked => checked?,
    }
    let change = doc! { "$inc": { "balance": 1 } };
    ledger.update_one(doc! { "_id": 1 }, change).session(&mut session).await?;
    let blocked = newer.raise(Duration::from_millis(300)).await;
    assert!(matches!(blocked, Err(Error::Blocked(_))), "{blocked:?}");
    session.commit_transaction().await?;
    newer.raise(Duration::from_secs(60)).await?;

    session.start_transaction().await?;
    let refused = older.check(&mut session).await;
    assert!(matches!(refused, Err(Error::Stale(_))), "{refused:?}");
    session.abort_transaction().await?;
    assert!(older.raise(Duration::from_secs(60)).await.is_err_and(|error| error.is_stale()));
    ledger.drop().await?;
    Ok(())
}

/// The intent of a raise that waits refuses older transactions that begin later.
pub(super) async fn a_raise_that_waits_refuses_older_checks(this: Arc<MongoDb>) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let database = endpoint.database();
    let [older, newer] = [term(7)?, term(8)?].map(|it| MongoFence::new(database, &namespace, &it));
    older.raise(Duration::from_secs(60)).await?;
    let mut open = database.client().start_session().await?;
    open.start_transaction().await?;
    match older.check(&mut open).await {
        Err(Error::Datastore(error)) => {
            return Err(Failure::ignored(format!("this server has no transactions: {error}")));
        }
        checked => checked?,
    }
    let blocked = newer.raise(Duration::from_millis(300)).await;
    assert!(matches!(blocked, Err(Error::Blocked(_))), "{blocked:?}");
    let mut later = database.client().start_session().await?;
    later.start_transaction().await?;
    let refused = older.check(&mut later).await;
    assert!(matches!(refused, Err(Error::Stale(_))), "{refused:?}");
    later.abort_transaction().await?;
    // The newer term's own check can be repeated until the fence is raised.
    later.start_transaction().await?;
    let early = newer.check(&mut later).await;
    assert!(matches!(early, Err(Error::Conflict(_))), "{early:?}");
    later.abort_transaction().await?;
    open.abort_transaction().await?;
    newer.raise(Duration::from_secs(60)).await?;
    Ok(())
}

async fn assert_check_is_invalid(fence: &MongoFence, session: &mut ClientSession) {
    let refused = fence.check(session).await;
    let Err(Error::Datastore(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

/// A check without a transaction would lock nothing. The session can be used as before.
pub(super) async fn a_check_outside_a_transaction_is_refused(this: Arc<MongoDb>) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let database = endpoint.database();
    let fence = MongoFence::new(database, &namespace, &term(7)?);
    fence.raise(Duration::from_secs(60)).await?;
    let mut session = database.client().start_session().await?;
    assert_check_is_invalid(&fence, &mut session).await;
    let ledger = database.collection::<Document>(&format!("{namespace}_ledger"));
    ledger.insert_one(doc! { "_id": 1 }).session(&mut session).await?;
    session.start_transaction().await?;
    match fence.check(&mut session).await {
        Err(Error::Datastore(error)) => {
            return Err(Failure::ignored(format!("this server has no transactions: {error}")));
        }
        checked => checked?,
    }
    ledger.insert_one(doc! { "_id": 2 }).session(&mut session).await?;
    session.commit_transaction().await?;
    assert_check_is_invalid(&fence, &mut session).await;
    // The commit can still be repeated, as after an unknown outcome; a server may refuse that.
    if let Err(error) = session.commit_transaction().await {
        assert!(!matches!(*error.kind, CauseKind::Transaction { .. }), "{error}");
    }
    session.start_transaction().await?;
    fence.check(&mut session).await?;
    session.abort_transaction().await?;
    assert_check_is_invalid(&fence, &mut session).await;
    assert_eq!(ledger.count_documents(doc! {}).await?, 2);
    ledger.drop().await?;
    Ok(())
}

/// The label of the check's error makes the driver repeat the transaction.
pub(super) async fn the_driver_repeats_a_transaction_whose_check_conflicts(
    this: Arc<MongoDb>,
) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let database = endpoint.database();
    let ledger = database.collection::<Document>(&format!("{namespace}_ledger"));
    ledger.insert_one(doc! { "_id": 1 }).await?;
    let fence = MongoFence::new(database, &namespace, &term(7)?);
    fence.raise(Duration::from_secs(60)).await?;
    let mut open = database.client().start_session().await?;
    open.start_transaction().await?;
    match fence.check(&mut open).await {
        Err(Error::Datastore(error)) => {
            return Err(Failure::ignored(format!("this server has no transactions: {error}")));
        }
        checked => checked?,
    }
    let mut session = database.client().start_session().await?;
    let context = (fence.clone(), ledger.clone(), open, 0_u32);
    let transaction =
        session.start_transaction().and_run(context, |session, (fence, ledger, open, attempts)| {
            Box::pin(async move {
                *attempts += 1;
                // The other transaction ends before the second attempt.
                if *attempts == 2 {
                    open.commit_transaction().await?;
                }
                fence.check(session).await.map_err(callback_error)?;
                let inserted = ledger.insert_one(doc! { "_id": 2 }).session(session).await;
                inserted.map(|_| *attempts)
            })
        });
    assert_eq!(transaction.await?, 2);
    assert_eq!(ledger.count_documents(doc! {}).await?, 2);

    // It does not repeat a transaction of a term that is over.
    MongoFence::new(database, &namespace, &term(8)?).raise(Duration::from_secs(60)).await?;
    let late = session.start_transaction().and_run(fence, |session, fence| {
        Box::pin(async move { fence.check(session).await.map_err(callback_error) })
    });
    let error = late.await.expect_err("the term is over");
    assert!(error.get_custom::<Error>().is_some_and(Error::is_stale), "{error}");
    ledger.drop().await?;
    Ok(())
}

pub(super) async fn a_single_document_refuses_an_older_term(this: Arc<MongoDb>) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let database = endpoint.database();
    let pages = database.collection::<Document>(&format!("{namespace}_pages"));
    pages.insert_one(doc! { "_id": "home" }).await?;
    let write = async |token: u64| -> CaseResult<u64> {
        let fence = MongoFence::new(database, &namespace, &term(token)?);
        let set = fence.update(doc! { "$set": { "by": i64::try_from(token)? } });
        Ok(pages.update_one(fence.filter(doc! { "_id": "home" }), set).await?.matched_count)
    };
    assert_eq!((write(7).await?, write(8).await?), (1, 1));
    assert_eq!((write(7).await?, write(8).await?), (0, 1));
    let page = pages.find_one(doc! { "_id": "home" }).await?.expect("the page");
    assert_eq!((page.get_i64("by")?, page.get_i64("leasehold_fence")?), (8, 8));
    pages.drop().await?;
    Ok(())
}

pub(super) async fn foreign_fence_documents_are_not_overwritten(this: Arc<MongoDb>) -> CaseResult {
    let (endpoint, namespace) = (this.endpoint().await?, new_namespace()?);
    let database = endpoint.database();
    let fences = database.collection::<Document>(&format!("{namespace}_fence"));
    let foreign = doc! { "_id": "ledger", "token": "mine" };
    fences.insert_one(foreign.clone()).await?;
    let refused =
        MongoFence::new(database, &namespace, &term(7)?).raise(Duration::from_secs(60)).await;
    let Err(Error::Datastore(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(fences.find_one(doc! { "_id": "ledger" }).await?, Some(foreign));
    fences.drop().await?;
    Ok(())
}
