//! The documentation matches the table of settings.

use std::path::PathBuf;

use leasehold::configuration::{KEYS, reference};

const BEGIN: &str = "<!-- settings: begin -->\n";
const END: &str = "<!-- settings: end -->";

/// Compares the page with the table. With `UPDATE_DOCUMENTATION=1` it writes the table into the
/// page.
#[test]
fn docs_page_matches_the_keys_table() {
    let pages = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    if !pages.exists() {
        eprintln!("skipped: the page is in the repository, and not in the published package");
        return;
    }
    let path = pages.join("configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the table's begin");
    let (_, after) = rest.split_once(END).expect("the table's end");
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", reference());
    if std::env::var_os("UPDATE_DOCUMENTATION").is_some() {
        std::fs::write(&path, expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/reference/configuration.md differs from the table of settings; \
             UPDATE_DOCUMENTATION=1 cargo test -p leasehold --features config documented updates it"
        );
    }
}

#[test]
fn setting_names_are_unique() {
    let mut names: Vec<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    names.extend(KEYS.iter().map(leasehold::configuration::Key::variable));
    for original in KEYS.iter().filter_map(|key| key.original) {
        names.extend(original.path.map(str::to_owned));
        names.extend(original.variables.iter().map(ToString::to_string));
        names.extend(original.option.filter(|name| *name != "tolerance").map(str::to_owned));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for key in KEYS {
        assert!(key.documentation.ends_with('.') && !key.default.is_empty(), "{}", key.name);
    }
}
