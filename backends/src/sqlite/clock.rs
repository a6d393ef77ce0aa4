//! Leases run by this clock: it is the machine's uptime, named by the boot from which it counts.
//!
//! Every client of an SQLite file runs on one kernel, so one clock can serve them all without
//! asking a server: `CLOCK_BOOTTIME`, which no one can set, which counts suspend, and which starts
//! at zero with each boot. Besides the time when a lease runs out, a row contains the boot's id and
//! the time when the lease was set: granted or last extended.
//!
//! A container may have a boot id of its own, mounted over the kernel's, so another id does not
//! mean another boot. But where the clock is the same, no lease was set in the future. So a lease
//! with another id is over when its time has come, or when it was set later than now: then it
//! belongs to an earlier boot, and its holder died with that boot. After a reboot a lease of the
//! earlier boot can look as if it were in force, for its ttl at most.
//!
//! A program that does not know this time leaves an earlier one in the row. That lets the lease
//! look as if it were in force, which is the safe mistake.
//!
//! A time namespace shifts the clock for the processes in it, and the kernel says by how much.

use std::time::{Duration, SystemTime};

use crate::{Clock as _, Error, ErrorKind, MAX_TTL, Result, SystemClock};

/// Linux names the present boot in this file.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Linux says in this file by how much the time namespace of this process's children shifts their
/// clocks.
const OFFSETS: &str = "/proc/self/timens_offsets";

/// These files name the time namespaces of this process and of its children.
const NAMESPACES: [&str; 2] = ["/proc/self/ns/time", "/proc/self/ns/time_for_children"];

/// This stands for a boot where the calendar clock has to serve.
const CALENDAR: &str = "calendar";

/// This machine's clock during this boot.
#[derive(Clone, Debug)]
pub(super) struct MachineClock {
    boot: String,
    /// This process's uptime is ahead of the machine's by this many microseconds.
    offset: i64,
}

/// This is one reading of the clock, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// This is the time since the boot, by which leases run.
    pub(super) uptime: i64,
    /// This is the time since 1970, which is only for tokens, the order of signals and display.
    pub(super) wall: i64,
}

impl MachineClock {
    /// Returns the clock of this boot.
    ///
    /// On Linux there is no falling back to another: two processes of which only one can read the
    /// boot's id would take each other's leases for over.
    ///
    /// # Errors
    /// This returns [`Unsupported`](ErrorKind::Unsupported) where Linux does not tell its boot's
    /// id, or by how much it shifts this process's clock.
    pub(super) fn detect() -> Result<Self> {
        if !cfg!(target_os = "linux") {
            return Ok(Self::of_boot(CALENDAR));
        }
        let id = std::fs::read_to_string(BOOT_ID).map_err(|source| {
            Error::new(ErrorKind::Unsupported, format!("{BOOT_ID} cannot be read"))
                .with_source(source)
                .with_fix("leases run by the time since boot; mount /proc")
        })?;
        let [own, childrens] = NAMESPACES.map(|path| std::fs::read_link(path).ok());
        if own != childrens {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this process entered a new time namespace for its children only, so its clock is \
                 unknown",
            )
            .with_fix("start it in its time namespace, for example with unshare --time --fork"));
        }
        let offset = std::fs::read_to_string(OFFSETS).map_or(0, |text| boottime_offset(&text));
        Ok(Self { offset, ..Self::of_boot(id.trim()) })
    }

    /// Creates the clock of a boot with that id.
    pub(super) fn of_boot(id: &str) -> Self {
        Self { boot: id.to_owned(), offset: 0 }
    }

    /// Returns what leases of this boot are marked with.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    /// Returns the present time. A decision by it is right if it is read when the write lock is
    /// held, or if it is right at any later time too.
    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // On Linux `SystemClock` is CLOCK_BOOTTIME, whose origin all processes share.
        let uptime = if self.boot == CALENDAR { wall } else { SystemClock.now().since_origin() };
        Now { uptime: micros(uptime).saturating_sub(self.offset), wall: micros(wall) }
    }

    /// Returns what is left at `now` of a lease with that boot that was set at that time; `None` if
    /// it is over.
    ///
    /// In this boot, a lease with more left than the longest ttl is a damaged row.
    pub(super) fn left(
        &self,
        boot: &str,
        set_at: Option<i64>,
        expires_at: i64,
        now: Now,
    ) -> Result<Option<Duration>> {
        if expires_at <= now.uptime {
            return Ok(None);
        }
        let left = Duration::from_micros(expires_at.abs_diff(now.uptime));
        if boot != self.boot {
            return Ok(Some(left).filter(|_| !is_from_earlier_boot(set_at, expires_at, now)));
        }
        if left > MAX_TTL + SLACK {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("a lease has {left:?} left, more than the maximum ttl"),
            )
            .with_fix("was it written by another program?"));
        }
        Ok(Some(left))
    }
}

/// Returns whether a lease with another boot's id is certainly of an earlier boot. The statements in
/// [`sql`](super::sql) use the same conditions. A lease that was set after its own end has a time
/// that a program left there which does not know it, so that the time says nothing.
fn is_from_earlier_boot(set_at: Option<i64>, expires_at: i64, now: Now) -> bool {
    let latest = now.uptime.saturating_add(TOLERANCE);
    expires_at > latest.saturating_add(LONGEST_TTL)
        || set_at.is_some_and(|set_at| set_at > latest && set_at <= expires_at)
}

/// Reads from `/proc/self/timens_offsets` by how much the time since boot is ahead, in
/// microseconds.
fn boottime_offset(text: &str) -> i64 {
    let read = |line: &str| -> Option<i64> {
        let mut words = line.split_whitespace();
        if words.next()? != "boottime" {
            return None;
        }
        let seconds: i64 = words.next()?.parse().ok()?;
        let nanos: i64 = words.next()?.parse().ok()?;
        seconds.checked_mul(1_000_000)?.checked_add(nanos / 1000)
    };
    text.lines().find_map(read).unwrap_or(0)
}

/// This is the longest ttl, in microseconds.
pub(super) const LONGEST_TTL: i64 = 24 * 60 * 60 * 1_000_000;

/// An instance with another boot id can be known for at most this long, in microseconds: its row
/// does not say when it was set.
pub(super) const MAX_INSTANCE_TTL: i64 = 60 * 60 * 1_000_000;

/// A lease may have been set this much later than now, in microseconds, since clocks differ
/// slightly between processors.
pub(super) const TOLERANCE: i64 = 1_000_000;

/// Other processors' readings, and a calendar clock that is being slewed, may be a little behind.
const SLACK: Duration = Duration::from_secs(60);

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn uptime_is_the_same_for_all_processes() {
        let clock = MachineClock::detect().unwrap();
        assert_ne!(clock.boot(), CALENDAR);
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
        let ours = Duration::from_micros(clock.now().uptime.unsigned_abs()).as_secs_f64();
        assert!((ours - seconds).abs() < 5.0, "{ours} {seconds}");
    }

    #[test]
    fn a_lease_of_this_boot_expires_at_its_time() {
        let clock = MachineClock::of_boot("this");
        let left = |expires_at| clock.left("this", Some(9), expires_at, NOW).unwrap();
        assert_eq!(left(1_000), None);
        assert_eq!(left(i64::MIN), None);
        assert_eq!(left(1_001), Some(Duration::from_micros(1)));
        let corrupt_row = clock.left("this", None, i64::MAX, NOW).unwrap_err();
        assert_eq!(corrupt_row.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_lease_of_an_earlier_boot_expires() {
        let clock = MachineClock::of_boot("this");
        let left = |set_at, expires_at| clock.left("that", set_at, expires_at, NOW).unwrap();
        let latest = NOW.uptime + TOLERANCE;
        assert_eq!(left(Some(500), 1_000), None);
        assert_eq!(left(Some(1_000), 1_500), Some(Duration::from_micros(500)));
        assert!(left(Some(latest), latest + 500).is_some());
        assert_eq!(left(Some(latest + 1), latest + 500), None);
        // A time of long ago says nothing, and a row of the first schema has none.
        for set_at in [None, Some(0), Some(i64::MIN)] {
            assert!(left(set_at, latest + LONGEST_TTL).is_some());
            assert_eq!(left(set_at, latest + LONGEST_TTL + 1), None);
        }
        // Nor does one that is later than the lease's end.
        assert!(left(Some(i64::MAX), latest + 500).is_some());
        assert_eq!(left(Some(i64::MAX), i64::MAX), None);
    }

    #[test]
    fn the_longest_ttl_is_granted() {
        assert_eq!(Duration::from_micros(LONGEST_TTL.unsigned_abs()), MAX_TTL);
    }

    #[test]
    fn the_offset_of_a_time_namespace_is_read() {
        assert_eq!(
            boottime_offset("monotonic           0         0\nboottime           7  5000\n"),
            7_000_005
        );
        assert_eq!(boottime_offset("monotonic -1 0\nboottime -3 999999000\n"), -2_000_001);
        for text in ["", "boottime", "boottime x y", "boottime 9223372036854775807 0"] {
            assert_eq!(boottime_offset(text), 0, "{text}");
        }
    }

    const NOW: Now = Now { uptime: 1_000, wall: 0 };
}
