//! The kind of the lock that `run` holds follows from four settings, of which at most one is used.

use leasehold::LockKind;
use leasehold::configuration::{Configuration, Setting};

use super::configuration::value;
use crate::io::exit::{Failure, chain};

/// These settings choose the kind of the lock.
pub(crate) const SETTINGS: [&str; 4] = ["fair", "permits", "read", "write"];

/// A run holds a lock of this kind, with this much of its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunKind {
    pub(crate) kind: LockKind,
    pub(crate) weight: u32,
}

impl RunKind {
    /// Returns the kind that the settings choose, which is exclusive if they choose none.
    ///
    /// # Errors
    /// This fails if several settings choose a kind, since none of them may be ignored, or if the
    /// number of permits is not valid.
    pub(crate) fn new(library: &Configuration) -> Result<Self, Failure> {
        let chosen: Vec<_> =
            SETTINGS.into_iter().filter_map(|name| chosen(library, name)).collect();
        match &*chosen {
            [] => Ok(Self { kind: LockKind::Exclusive, weight: 1 }),
            [only] => Self::of(library, only),
            several => {
                let origins: Vec<_> = several.iter().map(|it| it.origin.to_string()).collect();
                Err(Failure::usage(format!(
                    "a lock has one kind, and these choose several: {}; use only one of --fair, \
                     --permits, --read and --write",
                    origins.join(", ")
                )))
            }
        }
    }

    fn of(library: &Configuration, chosen: &Setting) -> Result<Self, Failure> {
        let (kind, weight) = match chosen.key {
            "fair" => (LockKind::Fair, 1),
            "read" => (LockKind::ReaderWriter, 1),
            "write" => (LockKind::ReaderWriter, LockKind::WRITER_WEIGHT),
            name => {
                let permits = value(library, name).unwrap_or_default();
                let kind = LockKind::semaphore(permits).map_err(|error| {
                    Failure::usage(format!("{}: {}", chosen.origin, chain(&error)))
                })?;
                (kind, 1)
            }
        };
        Ok(Self { kind, weight })
    }
}

/// Returns the setting if it chooses a kind: it has a value, and is not a switch that is off.
fn chosen<'a>(library: &'a Configuration, name: &str) -> Option<&'a Setting> {
    let is_off = value::<bool>(library, name) == Some(false);
    library.setting(name).filter(|setting| setting.value.is_some() && !is_off)
}

#[cfg(test)]
mod tests {
    use leasehold::configuration::Loader;

    use super::super::keys::OWN;
    use super::*;

    fn kind(variables: &[(&str, &str)]) -> Result<RunKind, Failure> {
        let loader = Loader::empty().keys(OWN).environment(variables.iter().copied());
        RunKind::new(&loader.load().unwrap())
    }

    #[test]
    fn a_setting_chooses_the_kind_of_lock() {
        let semaphore = LockKind::semaphore(3).unwrap();
        for (variables, expected, weight) in [
            (&[("LEASEHOLD_FAIR", "true")][..], LockKind::Fair, 1),
            (&[], LockKind::Exclusive, 1),
            (&[("LEASEHOLD_PERMITS", "3")], semaphore, 1),
            (&[("LEASEHOLD_READ", "true")], LockKind::ReaderWriter, 1),
            (&[("LEASEHOLD_WRITE", "true")], LockKind::ReaderWriter, LockKind::WRITER_WEIGHT),
            (&[("LEASEHOLD_FAIR", "false"), ("LEASEHOLD_PERMITS", "3")], semaphore, 1),
        ] {
            let chosen = kind(variables).unwrap();
            assert_eq!(chosen, RunKind { kind: expected, weight }, "{variables:?}");
        }
    }

    #[test]
    fn a_lock_has_one_kind() {
        let error = kind(&[("LEASEHOLD_READ", "true"), ("LEASEHOLD_PERMITS", "3")]).unwrap_err();
        let text = format!("{error:?}");
        for part in ["LEASEHOLD_READ", "LEASEHOLD_PERMITS", "use only one of"] {
            assert!(text.contains(part), "{text}");
        }
        let error = kind(&[("LEASEHOLD_PERMITS", "0")]).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("LEASEHOLD_PERMITS: 0 is not a valid number of permits"), "{text}");
    }
}
