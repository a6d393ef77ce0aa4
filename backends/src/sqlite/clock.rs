//! The clock that leases run by: the machine's uptime, named by the boot it counts from.
//!
//! Every client of an SQLite file runs on one kernel, so one clock can serve them all without
//! asking a server: `CLOCK_BOOTTIME`, which no one can set, which counts suspend, and which starts
//! anew with each boot. A row therefore keeps the boot's id beside the time a lease runs out, and a
//! lease is in force if and only if both fit. A lease of another boot is over, since every process
//! that could trust it died with that boot.

use std::time::{Duration, SystemTime};

use crate::{Clock as _, Error, ErrorKind, MAX_TTL, Result, SystemClock};

/// Where Linux names the present boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What stands for a boot where the calendar clock has to serve.
const CALENDAR: &str = "calendar";

/// This machine's clock during this boot.
#[derive(Clone, Debug)]
pub(super) struct MachineClock {
    boot: String,
}

/// One reading of the clock, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Since the boot; leases run by it.
    pub(super) uptime: i64,
    /// Since 1970; only for tokens, the order of signals and display.
    pub(super) wall: i64,
}

impl MachineClock {
    /// The clock of this boot.
    ///
    /// On Linux there is no falling back to another: two processes of which only one can read the
    /// boot's id would take each other's leases for over.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where Linux does not tell its boot's id.
    pub(super) fn detect() -> Result<Self> {
        if !cfg!(target_os = "linux") {
            return Ok(Self { boot: CALENDAR.to_owned() });
        }
        let id = std::fs::read_to_string(BOOT_ID).map_err(|source| {
            Error::new(ErrorKind::Unsupported, format!("{BOOT_ID} cannot be read"))
                .with_source(source)
                .with_fix("leases run by the time since boot; mount /proc")
        })?;
        Ok(Self { boot: id.trim().to_owned() })
    }

    /// What leases of this boot are marked with.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    /// The present time. To decide by it, read it when the write lock is held, not before.
    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // On Linux `SystemClock` is CLOCK_BOOTTIME, whose origin all processes share.
        let uptime = if self.boot == CALENDAR { wall } else { SystemClock.now().since_origin() };
        Now { uptime: micros(uptime), wall: micros(wall) }
    }

    /// What is left at `now` of a lease of that boot: nothing if it is over.
    ///
    /// More than any lease lasts is damage, or the reading of a clock in another time namespace.
    pub(super) fn left(&self, boot: &str, expires_at: i64, now: Now) -> Result<Option<Duration>> {
        if boot != self.boot || expires_at <= now.uptime {
            return Ok(None);
        }
        let left = Duration::from_micros(expires_at.abs_diff(now.uptime));
        if left > MAX_TTL + SLACK {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("a lease is to last another {left:?}, longer than any is granted for"),
            )
            .with_fix("was it written in another time namespace, or by something else?"));
        }
        Ok(Some(left))
    }
}

/// Other processors' readings, and a calendar clock that is being slewed, may be a little behind.
const SLACK: Duration = Duration::from_secs(60);

/// A ttl in microseconds, rounded up.
pub(super) fn ttl_micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// The duration of so many microseconds; zero for a negative number.
pub(super) fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_rounded_up_to_the_microsecond() {
        assert_eq!(ttl_micros(Duration::from_nanos(1)), 1);
        assert_eq!(ttl_micros(Duration::from_micros(7)), 7);
        assert_eq!(ttl_micros(Duration::MAX), i64::MAX);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_uptime_is_the_one_that_all_processes_see() {
        let clock = MachineClock::detect().unwrap();
        assert_ne!(clock.boot(), CALENDAR);
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
        let ours = Duration::from_micros(clock.now().uptime.unsigned_abs()).as_secs_f64();
        assert!((ours - seconds).abs() < 5.0, "{ours} {seconds}");
    }

    #[test]
    fn a_lease_is_over_when_its_boot_or_its_time_is() {
        let clock = MachineClock { boot: "this".into() };
        let now = Now { uptime: 1_000, wall: 0 };
        assert_eq!(clock.left("this", 1_000, now).unwrap(), None);
        assert_eq!(clock.left("this", i64::MIN, now).unwrap(), None);
        assert_eq!(clock.left("that", 9_000, now).unwrap(), None);
        assert_eq!(clock.left("this", 1_001, now).unwrap(), Some(Duration::from_micros(1)));
        assert_eq!(clock.left("this", i64::MAX, now).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
