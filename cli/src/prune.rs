//! `leasehold prune`.

use leasehold::{LockName, PruneOptions};
use serde_json::json;

use crate::args::PruneArgs;
use crate::exit::{Failure, say};
use crate::output::{print, print_json, visible};
use crate::store::StoreChoice;

/// Prints the names that can be removed, or removes them and prints which.
pub(crate) async fn prune(choice: &StoreChoice, args: PruneArgs) -> Result<u8, Failure> {
    let mut names = Vec::new();
    if let Some(store) = choice.open_existing().await? {
        let mut page = PruneOptions {
            unused_for: args.unused_for,
            dry_run: !args.apply,
            ..PruneOptions::default()
        };
        loop {
            let some = store.prune(&page).await?;
            let Some(last) = some.last() else { break };
            page.after = Some(last.clone());
            if !args.json {
                // Names are printed at once, so that what was removed is known even if the next
                // page fails.
                print(&lines(&some))?;
            }
            names.extend(some);
        }
    }
    if args.json {
        print_json(&json!({ "applied": args.apply, "names": names }))?;
    } else if !args.apply && !names.is_empty() {
        let count = names.len();
        say(&format!("{count} unused; nothing was removed; give --apply to remove them"));
    }
    Ok(0)
}

fn lines(names: &[LockName]) -> String {
    names.iter().map(|name| visible(name.as_str()) + "\n").collect()
}
