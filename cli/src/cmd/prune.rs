//! `leasehold prune` removes the records of unused names.

use leasehold::{LockName, LockStore, PruneOptions};
use serde_json::json;

use crate::args::PruneArgs;
use crate::io::exit::Failure;
use crate::io::stderr::print_message;
use crate::io::stdout::{print, print_json};
use crate::io::table::visible;
use crate::store_choice::StoreChoice;

/// Prints the names that can be removed, and then removes them if `--apply` is given.
pub(crate) async fn prune(choice: &StoreChoice, args: PruneArgs) -> Result<u8, Failure> {
    let mut names = Vec::new();
    let pruned = match choice.open_existing().await? {
        Some(store) => prune_in(&*store, &args, &mut names).await,
        None => Ok(()),
    };
    if args.json {
        // Removed names are printed even if a later page fails.
        print_json(&json!({ "applied": args.apply, "names": names }))?;
    }
    pruned?;
    if args.json {
        return Ok(0);
    }
    if !args.apply && !names.is_empty() {
        let count = names.len();
        print_message(&format!("unused names: {count}; use --apply to remove them"));
    }
    Ok(0)
}

/// Adds the names that can be removed, or were removed, page by page.
async fn prune_in(
    store: &dyn LockStore,
    args: &PruneArgs,
    names: &mut Vec<LockName>,
) -> Result<(), Failure> {
    let unused_for = args.unused_for;
    let mut page = PruneOptions::default().with_unused_for(unused_for).with_dry_run(true);
    loop {
        let unused = store.prune(&page).await?;
        let Some(last) = unused.last().cloned() else { return Ok(()) };
        if !args.json {
            // Names are printed before they are removed, so that the user knows them even after an
            // interruption.
            print(&lines(&unused))?;
        }
        let removed = if args.apply {
            let removed = store.prune(&page.clone().with_dry_run(false)).await?;
            if !args.json {
                report_differences(&unused, &removed)?;
            }
            removed
        } else {
            unused
        };
        names.extend(removed);
        page.after = Some(last);
    }
}

/// Prints the names that were removed but not printed, and reports those that were not removed.
fn report_differences(printed: &[LockName], removed: &[LockName]) -> Result<(), Failure> {
    let more: Vec<_> = removed.iter().filter(|name| !printed.contains(name)).cloned().collect();
    print(&lines(&more))?;
    for name in printed.iter().filter(|name| !removed.contains(name)) {
        print_message(&format!(
            "{} was used in the meantime and was not removed",
            visible(name.as_str())
        ));
    }
    Ok(())
}

fn lines(names: &[LockName]) -> String {
    names.iter().map(|name| visible(name.as_str()) + "\n").collect()
}
