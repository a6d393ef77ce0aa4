//! A raise is tested with a session whose settings cannot be restored.

use std::future::ready;

use leasehold_core::{FencingToken, Namespace};

use super::*;

/// Every setting of this session has this number, and so has the raised token.
const NUMBER: i64 = 50;

/// The settings of this session can be changed, but not restored.
struct KeepsChangedSettings;

impl Session for KeepsChangedSettings {
    const DATABASE: Database = Database::MySql;

    fn in_transaction(&mut self) -> bool {
        false
    }

    fn run_script(&mut self, script: &str) -> impl Future<Output = Result<(), Failure>> + Send {
        let killed = std::io::Error::other("interrupted");
        let restores = script.contains(&format!("lock_wait_timeout = {NUMBER}"));
        ready(if restores {
            Err(Failure::new(Database::MySql, Some("1317"), killed))
        } else {
            Ok(())
        })
    }

    fn number(
        &mut self,
        _: &Statement,
        _: Values<'_>,
    ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
        ready(Ok(Some(NUMBER)))
    }

    fn texts(
        &mut self,
        _: &Statement,
        _: Values<'_>,
    ) -> impl Future<Output = Result<Vec<String>, Failure>> + Send {
        ready(Ok(Vec::new()))
    }

    fn transact(
        &mut self,
        _: Option<&str>,
        _: &[Statement],
        _: Values<'_>,
        _: Option<&str>,
    ) -> impl Future<Output = Result<Option<i64>, Failure>> + Send {
        ready(Ok(Some(NUMBER)))
    }

    fn pause(&mut self, _: Duration) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

#[tokio::test]
async fn a_connection_whose_settings_were_not_restored_is_reported() {
    let statements = Statements::new(Database::MySql, &Namespace::default());
    for (token, outcome) in [(50, "the fence was raised;"), (49, "the term 49")] {
        let name = LockName::new("ledger").unwrap();
        let term = Term::new(&name, FencingToken::new(token).unwrap());
        let limit = Duration::from_secs(3);
        let raised = raise(&mut KeepsChangedSettings, &statements, &term, limit).await;
        let Err(Error::Datastore(error)) = raised else { panic!("{raised:?}") };
        let text = error.to_string();
        assert!(text.contains(outcome) && text.contains("could not be restored"), "{text}");
        assert!(error.is_transient(), "{text}");
    }
}
