//! `leasehold disable`, `leasehold enable` and `leasehold resign`.

use leasehold::{
    Client, DisableOptions, DisableOutcome, Disablement, EnableOutcome, Holder, LockName, Reason,
    ResignOutcome,
};
use leasehold_admin::HolderView;
use serde_json::json;

use crate::args::{DisableArgs, EnableArgs, ResignArgs};
use crate::exit::{FAILED, Failure};
use crate::output::{print, print_json, visible};
use crate::store::StoreChoice;

pub(crate) async fn disable(store: &StoreChoice, args: DisableArgs) -> Result<u8, Failure> {
    // Checked before anything is opened, and perhaps created.
    let (name, reason) = (LockName::new(args.name)?, Reason::new(args.reason)?);
    let options = DisableOptions { reason, by: Some(operator()) };
    let outcome = store.open().await?.disable(&name, &options).await?;
    if args.json {
        let (outcome, before) = match &outcome {
            DisableOutcome::Disabled => ("disabled", None),
            DisableOutcome::AlreadyDisabled(first) => ("already_disabled", Some(first)),
        };
        let reason = before.map_or(&options.reason, |first| &first.reason);
        let by = before.map_or(options.by.as_deref(), |first| first.by.as_deref());
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

pub(crate) async fn resign(store: &StoreChoice, args: ResignArgs) -> Result<u8, Failure> {
    let (name, reason) = (LockName::new(args.name)?, Reason::new(args.reason)?);
    let outcome = match store.open_existing().await? {
        Some(store) => {
            Client::builder(store).label(operator()).build()?.resign(&name, &reason).await?
        }
        None => ResignOutcome::NotHeld,
    };
    // Nobody leads until it is enabled, which is not what was asked for.
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
            format!("The leader of {name} steps down: {}\n", visible(&holder.to_string()))
        }
        ResignOutcome::NotHeld => format!("{name} is held by nobody; nothing changed\n"),
        ResignOutcome::Disabled(first) => {
            let message = format!("{name} is disabled, and nobody leads until it is enabled");
            return Err(Failure::new(status, format!("{message}: {}", why(&first))));
        }
    })?;
    Ok(status)
}

/// Why it is disabled, and by whom.
fn why(disabled: &Disablement) -> String {
    let by = disabled.by.as_ref().map(|by| format!(", by {}", visible(by))).unwrap_or_default();
    visible(disabled.reason.as_str()) + &by
}

/// Who disables: user@host, as far as they can be told.
fn operator() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .filter_map(|variable| std::env::var(variable).ok())
        .find(|user| !user.is_empty())
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", Holder::current().host)
}
