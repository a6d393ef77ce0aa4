//! Compares the public API with that of the last release, with cargo-semver-checks.

use std::process::Command;

use anyhow::{Context, Result};

use crate::setup;
use crate::workspace::{cargo, root};

/// The published crates that have a library.
const LIBRARIES: [&str; 5] =
    ["leasehold-core", "leasehold", "leasehold-fence", "leasehold-conformance", "leasehold-admin"];

/// Checks that no library has breaking changes without a new version. Prints a note if there is no
/// release to compare with, or if the tool is not installed.
pub(crate) fn check() -> Result<()> {
    let Some(tag) = last_release()? else {
        eprintln!("\nthe public API is not compared: there is no tag of a release");
        return Ok(());
    };
    if !setup::runs("cargo", &["semver-checks", "--version"]) {
        eprintln!("\nthe public API is not compared with {tag}: install cargo-semver-checks");
        return Ok(());
    }
    for library in LIBRARIES {
        // It enables all features but `unstable`, which promises nothing.
        cargo(&["semver-checks", "--package", library, "--baseline-rev", &tag], &[])?;
    }
    Ok(())
}

/// Returns the newest tag, such as `v0.1.0`, among the ancestors of this commit.
fn last_release() -> Result<Option<String>> {
    let described = Command::new("git")
        .args(["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"])
        .current_dir(root()?)
        .output()
        .context("cannot run git")?;
    // The command fails if there is no such tag.
    let tag = String::from_utf8_lossy(&described.stdout).trim().to_owned();
    Ok(Some(tag).filter(|_| described.status.success()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_published_crate_has_both_licences_and_a_readme_that_names_the_rust_version() {
        let root = root().unwrap();
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        let workspace = read("Cargo.toml");
        let version = workspace.lines().find_map(|line| line.strip_prefix("rust-version = "));
        let version = version.unwrap().trim_matches('"');
        let sentence = format!("The lowest supported Rust version is {version}.");
        for folder in ["core", "backends", "fence", "conformance-tests", "admin", "cli"] {
            assert!(read(&format!("{folder}/README.md")).contains(&sentence), "{folder}");
            for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
                assert_eq!(read(&format!("{folder}/{licence}")), read(licence), "{folder}");
            }
        }
    }
}
