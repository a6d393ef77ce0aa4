//! `leasehold enable` enables a lock.

use leasehold::{EnableOutcome, LockName};
use serde_json::json;

use crate::args::EnableArgs;
use crate::io::exit::Failure;
use crate::io::stdout::{print, print_json};
use crate::io::table::visible;
use crate::store_choice::StoreChoice;

pub(crate) async fn enable(store: &StoreChoice, args: EnableArgs) -> Result<u8, Failure> {
    let name = LockName::new(args.name)?;
    let outcome = match store.open_existing().await? {
        Some(store) => store.enable(&name).await?,
        None => EnableOutcome::AlreadyEnabled,
    };
    if args.json {
        let outcome = match outcome {
            EnableOutcome::Enabled => "enabled",
            EnableOutcome::AlreadyEnabled => "already_enabled",
        };
        print_json(&json!({ "name": name, "outcome": outcome }))?;
        return Ok(0);
    }
    let name = visible(name.as_str());
    print(&match outcome {
        EnableOutcome::Enabled => format!("{name} is flagged for (re)enablement\n"),
        EnableOutcome::AlreadyEnabled => format!("{name} was not disabled; nothing changed\n"),
    })?;
    Ok(0)
}
