//! Format, imports, lints and documentation.

use anyhow::Result;

use crate::workspace::{cargo, root};
use crate::{import_loops, releases, setup, workflows};

/// Each set of features that users build with is linted: with all, and with none.
const CLIPPY: [&[&str]; 2] = [
    &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"],
    &["clippy", "--package", "leasehold", "--all-targets", "--", "-D", "warnings"],
];

const DOC: &[&str] = &["doc", "--workspace", "--all-features", "--no-deps"];

/// The targets of the fuzzer are a workspace of their own.
const FUZZ_FMT: [&str; 3] = ["fmt", "--manifest-path", "fuzz/Cargo.toml"];

/// Checks, and changes nothing.
pub(crate) fn verify() -> Result<()> {
    setup::c_compiler()?;
    cargo(&["fmt", "--all", "--check"], &[])?;
    cargo(&[&FUZZ_FMT[..], &["--check"]].concat(), &[])?;
    import_loops::check(&root()?)?;
    workflows::check()?;
    for lint in CLIPPY {
        cargo(lint, &[])?;
    }
    cargo(DOC, &[("RUSTDOCFLAGS", "-D warnings".into())])?;
    releases::check()?;
    eprintln!("\nverified: format, imports, lints, documentation");
    Ok(())
}

/// Mends what can be mended without thinking.
pub(crate) fn fix() -> Result<()> {
    let mend = ["clippy", "--workspace", "--all-targets", "--all-features", "--fix"];
    cargo(&[&mend[..], &["--allow-dirty", "--allow-staged"]].concat(), &[])?;
    cargo(&["fmt", "--all"], &[])?;
    cargo(&FUZZ_FMT, &[])
}
