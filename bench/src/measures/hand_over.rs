//! The time from the call of a release to the grant of a waiter, with few and many waiters in one
//! process and in several.

use std::time::Duration;

use anyhow::Result;

use super::contended::{self, Contended, NamedLibrary, Setting};
use crate::floor::FLOOR;
use crate::floor::hand_over::{MAX_WAITERS, exists};
use crate::leasehold_client::LEASEHOLD;
use crate::server_counts;
use crate::slices::Plan;
use crate::statistics::{medians, millis, of_slices};
use crate::table::{Table, Unit};

/// These are the numbers of waiters and of processes.
pub(crate) const SETTINGS: [(usize, usize); 8] =
    [(1, 1), (1, 2), (10, 1), (10, 10), (100, 1), (100, 10), (1000, 1), (1000, 10)];

/// These are the settings that compare fair locks with others. With one waiter, each process has one
/// of the two participants.
pub(super) const FAIR_SETTINGS: [(usize, usize); 3] = [(1, 2), (64, 10), (1000, 10)];

const COLUMNS: [(&str, Unit); 8] = [
    ("median", Unit::Millis),
    ("lower quartile", Unit::Millis),
    ("upper quartile", Unit::Millis),
    ("p99", Unit::Millis),
    ("hand-overs", Unit::Count),
    ("calls to the store each", Unit::Count),
    ("calls at the server each", Unit::Count),
    ("durable writes each", Unit::Count),
];

/// Measures each setting once with the floor and with each library, in random order.
pub(crate) async fn measure(
    url: &str,
    libraries: &[NamedLibrary],
    settings: &[(usize, usize)],
    plan: Plan,
) -> Result<Table> {
    let reader = server_counts::open(url).await;
    let mut table = Table::new("Hand-over", "contender, waiters, processes", &COLUMNS);
    let floor = NamedLibrary { name: FLOOR.to_owned(), max_waiters: MAX_WAITERS };
    let contenders: Vec<_> = libraries.iter().chain(exists(url).then_some(&floor)).collect();
    for (waiters, processes) in settings.iter().copied() {
        let fits = |library: &&&NamedLibrary| waiters <= library.max_waiters;
        let mut measured: Vec<_> = contenders.iter().filter(fits).collect();
        fastrand::shuffle(&mut measured);
        let setting = setting(waiters, processes, plan);
        for library in measured {
            let row = format!("{}, {waiters} in {processes}", library.name);
            eprintln!("    {row}");
            match contended::run(url, &library.name, &reader, setting).await {
                Ok(done) => add(&mut table, &row, &done, plan),
                // The other settings are still of interest.
                Err(error) => eprintln!("    {row} failed: {error:#}"),
            }
        }
    }
    table.rows.sort_by_key(|row| row.name.split(',').next() != Some(LEASEHOLD));
    Ok(table)
}

/// The lock is held until the other waiters have been refused and wait, which takes longer if there
/// are many.
fn setting(waiters: usize, processes: usize, plan: Plan) -> Setting {
    let many = u32::try_from(waiters).unwrap_or(u32::MAX);
    let hold = Duration::from_millis(20) + Duration::from_micros(500) * many;
    let slices = u32::try_from(plan.slices).unwrap_or(u32::MAX);
    Setting {
        participants: waiters + 1,
        processes,
        hold,
        rest: hold / 2,
        settle: Duration::from_secs(1) + Duration::from_millis(5) * many,
        length: (Duration::from_millis(200) + hold) * slices,
    }
}

fn add(table: &mut Table, row: &str, done: &Contended, plan: Plan) {
    let times: Vec<f64> = done.hand_overs().into_iter().map(millis).collect();
    let chunk = times.len().div_ceil(plan.slices.max(1)).max(1);
    let slices: Vec<Vec<f64>> = times.chunks(chunk).map(<[f64]>::to_vec).collect();
    let counts = done.counts;
    let each = |count: Option<f64>| count.and_then(|count| done.per_grant(count));
    let mut values = of_slices(&slices).to_vec();
    values.push(Some(times.len() as f64));
    values.push(each(done.calls));
    values.push(each(counts.map(|counts| counts.calls)));
    values.push(each(counts.and_then(|counts| counts.writes)));
    table.add(row, values, medians(&slices));
}
