//! The ids of this crate sort by the time at which they were created.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{NoContext, Timestamp, Uuid};

/// Returns a new UUIDv7.
pub(crate) fn new_id() -> Uuid {
    id_at(SystemTime::now())
}

/// Returns a UUIDv7 of that time. `Uuid::now_v7` panics while the calendar clock is before 1970,
/// such as on a board without a clock battery; ids that are created here then sort as the oldest,
/// and their random part makes them unique.
fn id_at(now: SystemTime) -> Uuid {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ids_differ_when_the_clock_is_before_1970() {
        let early = UNIX_EPOCH - Duration::from_secs(60);
        let [first, second] = [early; 2].map(id_at);
        assert_ne!(first, second);
        assert_eq!(first.get_version_num(), 7);
        assert!(first < new_id());
    }
}
