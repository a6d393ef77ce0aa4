//! The documentation matches the table of settings. The page is in the repository alone, so this
//! test is not part of the package.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use leasehold::configuration::reference;

const BEGIN: &str = "<!-- settings: begin -->\n";
const END: &str = "<!-- settings: end -->";

/// Compares the page with the table. With `UPDATE_DOCUMENTATION=1` it writes the table into the
/// page.
#[test]
fn docs_page_matches_the_keys_table() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("../docs/reference/configuration.md");
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
             this updates it: UPDATE_DOCUMENTATION=1 cargo test -p leasehold --features config \
             --test documented"
        );
    }
}
