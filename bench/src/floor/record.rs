//! The floors that keep a record of a lease write this value.

/// The holder of a lease in Leasehold has about this length.
pub(super) const HOLDER: &str =
    r#"{"instance":"01930000-0000-7000-8000-000000000001","host":"bench","pid":1}"#;
