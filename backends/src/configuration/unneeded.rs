//! Ignores invalid values of settings that a program does not use.

use super::known::KnownKeys;
use super::layer::MergedValues;
use super::resolved::{TIMING, timing};
use super::source::{Origin, Spelling};

/// Removes the invalid values of settings that are not needed, and returns warnings about them.
pub(super) fn ignore_invalid(
    keys: &KnownKeys,
    merged: &mut MergedValues,
    needed: &[&str],
) -> Vec<String> {
    let mut warnings = Vec::new();
    for key in keys.iter().filter(|key| !needed.contains(&key.name)) {
        if let Err(error) = merged.displayed(key) {
            warnings.extend(
                (!may_be_foreign_variable(merged, key.name)).then(|| ignored_warning(&error)),
            );
            merged.0.remove(key.name);
        }
    }
    // Settings that contradict each other may each be valid by themselves.
    if !TIMING.iter().any(|name| needed.contains(name))
        && let Err(error) = timing(merged)
    {
        let may_be_foreign = |name: &&str| may_be_foreign_variable(merged, name);
        let set = || TIMING.iter().filter(|name| merged.0.contains_key(*name));
        warnings.extend((!set().all(may_be_foreign)).then(|| ignored_warning(&error)));
        merged.0.retain(|name, _| !TIMING.contains(name));
    }
    warnings
}

/// Returns whether the value may come from another program's environment variable.
fn may_be_foreign_variable(merged: &MergedValues, name: &str) -> bool {
    merged.0.get(name).is_some_and(|(_, place, _)| {
        place.words == Spelling::Originals && matches!(place.origin, Origin::Variable(_))
    })
}

fn ignored_warning(error: &crate::Error) -> String {
    format!("{error} (ignored: not used by this command)")
}
