//! How evenly grants fall among tasks that acquire and release one lock in a loop, without a pause.

use std::time::Duration;

use anyhow::Result;

use super::contended::{self, Contended, NamedLibrary, Setting};
use crate::server_counts;
use crate::slices::Plan;
use crate::statistics::ratio;
use crate::table::{Table, Unit};

/// These are the numbers of tasks and of processes.
const SETTINGS: [(usize, usize); 2] = [(10, 1), (8, 8)];

const COLUMNS: [(&str, Unit); 5] = [
    ("grants per second", Unit::PerSecond),
    ("most grants of a task", Unit::Count),
    ("fewest grants of a task", Unit::Count),
    ("most to fewest", Unit::Ratio),
    ("calls to the store each", Unit::Count),
];

pub(crate) async fn measure(url: &str, libraries: &[NamedLibrary], plan: Plan) -> Result<Table> {
    let reader = server_counts::open(url).await;
    let mut table = Table::new("Evenness of grants", "contender, tasks, processes", &COLUMNS);
    for library in libraries {
        for (tasks, processes) in SETTINGS {
            let row = format!("{}, {tasks} in {processes}", library.name);
            eprintln!("    {row}");
            let slices = u32::try_from(plan.slices).unwrap_or(u32::MAX);
            let setting = Setting {
                participants: tasks,
                processes,
                hold: Duration::ZERO,
                rest: Duration::ZERO,
                settle: Duration::from_secs(1),
                length: Duration::from_millis(200) * slices,
            };
            match contended::run(url, &library.name, &reader, setting).await {
                Ok(done) => add(&mut table, &row, &done, setting),
                // The other settings are still of interest.
                Err(error) => eprintln!("    {row} failed: {error:#}"),
            }
        }
    }
    Ok(table)
}

fn add(table: &mut Table, row: &str, done: &Contended, setting: Setting) {
    let most = done.grants_each.iter().max().map(|count| *count as f64);
    // A task without a grant is not in the list.
    let starved = done.grants_each.len() < setting.participants;
    let fewest = done.grants_each.iter().min().filter(|_| !starved).copied().unwrap_or_default();
    let fewest = Some(fewest as f64);
    let rate = done.grants.len() as f64 / setting.length.as_secs_f64();
    let calls = done.calls.and_then(|calls| done.per_grant(calls));
    table.add(row, vec![Some(rate), most, fewest, ratio(most, fewest), calls], Vec::new());
}
