//! Checks whether other users could have written a file that was found in the working folder.

#[cfg(unix)]
use std::fs::Metadata;
use std::path::Path;

/// Returns the reason not to trust the file, if there is one: a user who can write or replace the
/// file would decide which store this process uses.
#[cfg(unix)]
pub(super) fn reason_not_to_trust(folder: &Path, file: &Path) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let link = || {
        let link = file.symlink_metadata().ok().filter(Metadata::is_symlink)?;
        owned_by_another("its link", &link)
    };
    check_writable("its folder", folder).or_else(link).or_else(|| check_writable("it", file))
}

#[cfg(unix)]
fn check_writable(what: &str, path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    const OTHERS_WRITE: u32 = 0o002;
    let Ok(metadata) = path.metadata() else {
        return Some(format!("the owner of {what} is not known"));
    };
    owned_by_another(what, &metadata).or_else(|| {
        (metadata.mode() & OTHERS_WRITE != 0).then(|| format!("{what} is writable by everybody"))
    })
}

#[cfg(unix)]
fn owned_by_another(what: &str, metadata: &Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    (owner != user && owner != 0)
        .then(|| format!("{what} belongs to user {owner}, and not to this process's user or root"))
}

/// On other systems the file's mode does not tell who may write it.
#[cfg(not(unix))]
pub(super) fn reason_not_to_trust(_: &Path, _: &Path) -> Option<String> {
    None
}
