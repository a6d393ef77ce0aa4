//! The cases cite what the documentation of `leasehold-core` promises. Its source is needed, so this
//! test is not part of the package.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use leasehold_conformance::{Case, cases};

#[test]
fn the_cases_cite_each_promise_in_the_documentation_of_core_and_no_other() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let lists = [
        ("LockStore", "store/lock_store.rs", "/// # What every store promises"),
        ("Client", "client.rs", "/// # What a client promises"),
    ];
    for (stated_by, file, heading) in lists {
        let text = std::fs::read_to_string(source.join(file)).unwrap();
        let listed = names(&text, heading);
        assert!(!listed.is_empty(), "{file} lists no promise under \"{heading}\"");
        let cited: BTreeSet<_> = cases::all()
            .map(Case::promise)
            .filter(|promise| promise.stated_by() == stated_by)
            .map(|promise| promise.to_string())
            .collect();
        assert_eq!(cited, listed, "left: cited by cases; right: listed in {file}");
    }
}

/// Returns the names in the list under that heading of a documentation comment.
fn names(text: &str, heading: &str) -> BTreeSet<String> {
    text.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| line.starts_with("///") && !line.starts_with("/// #"))
        .filter_map(|line| line.strip_prefix("/// * `"))
        .filter_map(|entry| entry.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}
