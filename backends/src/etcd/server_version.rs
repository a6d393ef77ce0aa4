//! Recognises versions of etcd that can end leases in force.

/// The first versions in which a leader that stalled and was replaced does not revoke leases that
/// were renewed in the meantime: one for the 3.4 series, and one for all others.
const MIN_VERSIONS: [[u32; 3]; 2] = [[3, 4, 31], [3, 5, 13]];

/// Logs a warning for each member whose version can end a lease in force.
pub(super) fn warn_of_old<'a>(label: &str, members: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (member, version) in members {
        if is_too_old(version) {
            tracing::warn!(
                store = label,
                member,
                version,
                "etcd before 3.5.13 (3.4.31) can revoke unexpired leases when a stalled leader \
                 returns, so two clients may hold one lock: upgrade this member"
            );
        }
    }
}

/// Returns whether the version is known to be older than [`MIN_VERSIONS`].
fn is_too_old(version: &str) -> bool {
    let [older, least] = MIN_VERSIONS;
    parse(version).is_some_and(|version| {
        let is_fixed = version[..2] == older[..2] && version >= older;
        version < least && !is_fixed
    })
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Counts warnings.
    struct Warnings(Arc<AtomicUsize>);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::WARN
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn each_outdated_member_logs_a_warning() {
        let count = Arc::new(AtomicUsize::new(0));
        let members = [("a", "3.5.12"), ("b", "3.5.13"), ("c", "3.4.30")];
        tracing::subscriber::with_default(Warnings(Arc::clone(&count)), || {
            warn_of_old("etcd://a,b,c", members);
        });
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn versions_before_3_5_13_are_too_old() {
        for old in [
            "3.4.23",
            "3.4.30",
            "3.3.40",
            "3.5.0",
            "3.5.9",
            "3.5.12",
            "v3.5.12",
            "2.3.8",
            "3.5.12-rc.1",
        ] {
            assert!(is_too_old(old), "{old}");
        }
        for good in [
            "3.4.31",
            "3.4.40",
            "3.5.13",
            "3.5.16",
            "3.5.100",
            "3.6.0",
            "3.6.0-rc.2",
            "4.0.0",
            "3.10.1",
        ] {
            assert!(!is_too_old(good), "{good}");
        }
        for unknown in ["", "3", "3.5", "not_decided", "3.x.1"] {
            assert!(!is_too_old(unknown), "{unknown:?}");
        }
    }
}
