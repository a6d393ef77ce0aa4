//! `leasehold resign` asks the leader of a lock to step down.

use leasehold::{Client, LockName, Reason, ResignOutcome};
use leasehold_admin::HolderView;
use serde_json::json;

use super::operator::{operator, why};
use crate::args::ResignArgs;
use crate::io::exit::{FAILED, Failure};
use crate::io::stdout::{print, print_json};
use crate::io::table::visible;
use crate::store_choice::StoreChoice;

pub(crate) async fn resign(store: &StoreChoice, args: ResignArgs) -> Result<u8, Failure> {
    let (name, reason) = (LockName::new(args.name)?, Reason::new(args.reason)?);
    let outcome = match store.open_existing().await? {
        Some(store) => {
            Client::builder(store).label(operator()).build()?.resign(&name, &reason).await?
        }
        None => ResignOutcome::NotHeld,
    };
    // A disabled lock has no leader until it is enabled, so the request has failed.
    let status = if matches!(outcome, ResignOutcome::Disabled(_)) { FAILED } else { 0 };
    if args.json {
        let (outcome, holder, reason, by) = match &outcome {
            ResignOutcome::Resigning(holder) => ("resigning", Some(holder), Some(&reason), None),
            ResignOutcome::NotHeld => ("not_held", None, None, None),
            ResignOutcome::Disabled(first) => {
                ("disabled", None, Some(&first.reason), first.by.as_deref())
            }
        };
        let holder = holder.map(HolderView::from);
        print_json(&json!({
            "name": name, "outcome": outcome, "holder": holder, "reason": reason, "by": by,
        }))?;
        return Ok(status);
    }
    let name = visible(name.as_str());
    print(&match outcome {
        ResignOutcome::Resigning(holder) => {
            let holder = visible(&holder.to_string());
            format!("The leader of {name} was asked to step down: {holder}\n")
        }
        ResignOutcome::NotHeld => format!("{name} is not held; nothing changed\n"),
        ResignOutcome::Disabled(first) => {
            let message = format!("{name} is disabled; it has no leader until it is enabled");
            return Err(Failure::new(status, format!("{message}: {}", why(&first))));
        }
    })?;
    Ok(status)
}
