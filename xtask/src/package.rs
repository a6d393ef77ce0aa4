//! The packages of the published crates have every file that they need, and their tests pass there.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, root, run, target};

/// The published crates and their folders, each after those that it depends on.
const PACKAGES: [(&str, &str); 6] = [
    ("leasehold-core", "core"),
    ("leasehold", "backends"),
    ("leasehold-fence", "fence"),
    ("leasehold-conformance", "conformance-tests"),
    ("leasehold-admin", "admin"),
    ("leasehold-cli", "cli"),
];

/// All crates of the workspace have this version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Fails if a file of a package needs one that the package does not contain.
pub(crate) fn check() -> Result<()> {
    let mut missing = Vec::new();
    for (package, folder) in PACKAGES {
        let files = list(package)?;
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            if !files.contains(file) {
                missing.push(format!("{folder}/{file} is not in the package"));
            }
        }
        for file in files.iter().filter(|file| file.ends_with(".rs")) {
            let text = fs::read_to_string(root()?.join(folder).join(file))
                .with_context(|| format!("cannot read {folder}/{file}"))?;
            missing.extend(needs(file, &text, &files).iter().map(|it| format!("{folder}/{it}")));
        }
    }
    if !missing.is_empty() {
        bail!("the packages are incomplete:\n{}", missing.join("\n"));
    }
    Ok(())
}

/// Builds the packages and runs the tests of each, in a workspace that has nothing but them.
pub(crate) fn test() -> Result<()> {
    check()?;
    let mut package = vec!["package", "--no-verify", "--allow-dirty"];
    package.extend(PACKAGES.iter().flat_map(|(name, _)| ["--package", *name]));
    cargo(&package, &[])?;
    let folder = target()?.join("packaged");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for (name, _) in PACKAGES {
        let archive = target()?.join("package").join(format!("{name}-{VERSION}.crate"));
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&folder))?;
    }
    let manifest = folder.join("Cargo.toml");
    fs::write(&manifest, workspace(&fs::read_to_string(root()?.join("Cargo.toml"))?))?;
    fs::copy(root()?.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let manifest = manifest.to_str().context("the path of the target folder is not UTF-8")?;
    for (name, _) in PACKAGES {
        let test = ["test", "--manifest-path", manifest, "--package", name, "--all-features"];
        cargo(&test, &[("CARGO_TARGET_DIR", target()?)])?;
    }
    eprintln!("\nthe tests of each package passed");
    Ok(())
}

/// Returns the files of a package.
fn list(package: &str) -> Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let listed = Command::new(cargo)
        .args(["package", "--list", "--allow-dirty", "--package", package])
        .current_dir(root()?)
        .output()
        .context("cannot run cargo package")?;
    if !listed.status.success() {
        let error = String::from_utf8_lossy(&listed.stderr);
        bail!("cargo package --list --package {package} failed:\n{error}");
    }
    let files = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
    Ok(files.lines().map(str::to_owned).collect())
}

/// Returns a message for each file that this Rust file needs and the package does not contain.
fn needs(file: &str, text: &str, files: &BTreeSet<String>) -> Vec<String> {
    let mut missing = Vec::new();
    if text.contains("CARGO_MANIFEST_DIR") {
        missing.push(format!("{file} may read files of the repository: leave it out"));
    }
    for opening in ["include_str!(\"", "include_bytes!(\"", "#[path = \""] {
        for named in text.split(opening).skip(1).filter_map(|rest| rest.split('"').next()) {
            if resolve(file, named).is_none_or(|path| !files.contains(&path)) {
                missing.push(format!("{file} needs \"{named}\": include it"));
            }
        }
    }
    missing
}

/// Returns the path within the package of what a file names relative to itself, or `None` if that
/// is outside.
fn resolve(file: &str, named: &str) -> Option<String> {
    let mut path: Vec<&str> = file.split('/').collect();
    path.pop();
    for part in named.split('/') {
        match part {
            "." => {}
            ".." => _ = path.pop()?,
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

/// Returns the manifest of a workspace of the unpacked packages, which depend on each other there.
/// The profiles are those of this workspace, so that what is built already is used again.
fn workspace(manifest: &str) -> String {
    let folders = PACKAGES.map(|(name, _)| (name, format!("{name}-{VERSION}")));
    let members = folders.each_ref().map(|(_, folder)| format!("\"{folder}\"")).join(", ");
    let patches =
        folders.each_ref().map(|(name, folder)| format!("{name} = {{ path = \"{folder}\" }}\n"));
    let profiles = manifest.find("\n[profile").map_or("", |start| &manifest[start..]);
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n{}{profiles}",
        patches.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_that_a_package_lacks_is_reported() {
        let files = ["src/a/mod.rs", "docs/a.md", "tests/support/store.rs"];
        let files = files.map(str::to_owned).into_iter().collect();
        let text = "#![doc = include_str!(\"../../docs/a.md\")]";
        assert_eq!(needs("src/a/mod.rs", text, &files), [""; 0]);
        let text = "#[path = \"support/store.rs\"]\nmod store;";
        assert_eq!(needs("tests/a.rs", text, &files), [""; 0]);
        for text in [
            "include_str!(\"../docs/b.md\")",
            "include_bytes!(\"../../docs/a.md\")",
            "#[path = \"../support/store.rs\"]",
            "env!(\"CARGO_MANIFEST_DIR\")",
        ] {
            assert_eq!(needs("tests/a.rs", text, &files).len(), 1, "{text}");
        }
    }

    #[test]
    fn the_workspace_of_the_packages_has_this_workspaces_profiles() {
        let manifest = workspace("[workspace]\nmembers = []\n\n[profile.dev]\ndebug = false\n");
        let parsed: toml::Table = toml::from_str(&manifest).unwrap();
        assert_eq!(parsed["workspace"]["members"].as_array().unwrap().len(), PACKAGES.len());
        assert!(parsed["patch"]["crates-io"].get("leasehold-core").is_some());
        assert_eq!(parsed["profile"]["dev"]["debug"].as_bool(), Some(false));
    }
}
