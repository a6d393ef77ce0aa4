//! Recognises the versions of etcd that can end leases that are in force.

/// The first version in which a leader that stalled and was replaced does not revoke leases that
/// were renewed in the meantime.
const LEAST: [u32; 3] = [3, 5, 13];

/// Logs a warning for each member whose version can end a lease that is in force.
pub(super) fn warn_of_old<'a>(label: &str, members: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (member, version) in members {
        if is_too_old(version) {
            tracing::warn!(
                store = label,
                member,
                version,
                "before etcd 3.5.13, a leader that stalls and comes back revokes leases that are \
                 in force, so that two may hold one lock: upgrade this member to 3.5.13 or later"
            );
        }
    }
}

/// Returns whether the version is known to be older than [`LEAST`].
fn is_too_old(version: &str) -> bool {
    parse(version).is_some_and(|version| version < LEAST)
}

/// Returns the three numbers of a version, or `None` if the text does not begin with them.
fn parse(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.trim().trim_start_matches('v').splitn(3, '.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse().ok()
    });
    let mut next = || parts.next().flatten();
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_3_5_13_are_too_old() {
        for old in ["3.4.23", "3.5.0", "3.5.9", "3.5.12", "v3.5.12", "2.3.8", "3.5.12-rc.1"] {
            assert!(is_too_old(old), "{old}");
        }
        for good in ["3.5.13", "3.5.16", "3.5.100", "3.6.0", "3.6.0-rc.2", "4.0.0", "3.10.1"] {
            assert!(!is_too_old(good), "{good}");
        }
        for unknown in ["", "3", "3.5", "not_decided", "3.x.1"] {
            assert!(!is_too_old(unknown), "{unknown:?}");
        }
    }
}
