//! `leasehold disable` disables a lock.

use leasehold::{DisableOptions, DisableOutcome, LockName, Reason};
use serde_json::json;

use super::operator::{operator, why};
use crate::args::DisableArgs;
use crate::io::exit::Failure;
use crate::io::stdout::{print, print_json};
use crate::io::table::visible;
use crate::store_choice::StoreChoice;

pub(crate) async fn disable(store: &StoreChoice, args: DisableArgs) -> Result<u8, Failure> {
    // The arguments are checked before the store is opened, which may create it.
    let (name, reason) = (LockName::new(args.name)?, Reason::new(args.reason)?);
    let options = DisableOptions::new(reason).with_by(operator());
    let outcome = store.open().await?.disable(&name, &options).await?;
    if args.json {
        let (outcome, earlier) = match &outcome {
            DisableOutcome::Disabled => ("disabled", None),
            DisableOutcome::AlreadyDisabled(first) => ("already_disabled", Some(first)),
        };
        let reason = earlier.map_or(&options.reason, |first| &first.reason);
        let by = earlier.map_or(options.by.as_deref(), |first| first.by.as_deref());
        let fields = json!({ "name": name, "outcome": outcome, "reason": reason, "by": by });
        print_json(&fields)?;
        return Ok(0);
    }
    let name = visible(name.as_str());
    print(&match outcome {
        DisableOutcome::Disabled => format!("Flagged {name} as disabled\n"),
        DisableOutcome::AlreadyDisabled(first) => {
            format!("{name} is already flagged as disabled: {}\n", why(&first))
        }
    })?;
    Ok(0)
}
