//! Acquire and release of one name by one task.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::many_names;
use crate::contender::Contender;
use crate::floor::FLOOR;
use crate::slices::{Plan, interleave, run_alone, warm_up};
use crate::statistics::{medians, of_slices, ratio};
use crate::table::{Table, Unit};

const SLICE: Duration = Duration::from_millis(250);

const COLUMNS: [(&str, Unit); 6] = [
    ("median", Unit::Micros),
    ("lower quartile", Unit::Micros),
    ("upper quartile", Unit::Micros),
    ("p99", Unit::Micros),
    ("median to the floor's", Unit::Ratio),
    ("p99 to the floor's", Unit::Ratio),
];

pub(crate) async fn measure(contenders: &[Arc<dyn Contender>], plan: Plan) -> Result<Table> {
    let lock = many_names::name(0);
    let series = interleave(contenders, plan, async |contender| {
        warm_up(contender, &lock).await?;
        Ok((run_alone(contender, &lock, SLICE).await?, SLICE))
    })
    .await?;
    let floor = contenders.iter().position(|contender| contender.name() == FLOOR);
    let floor = floor.map_or([None; 4], |at| of_slices(&series[at].times));
    let mut table = Table::new("Acquire and release of one name", "contender", &COLUMNS);
    for (contender, series) in contenders.iter().zip(&series) {
        let [median, lower, upper, p99] = of_slices(&series.times);
        let ratios = [ratio(median, floor[0]), ratio(p99, floor[3])];
        let values = [median, lower, upper, p99].into_iter().chain(ratios).collect();
        table.add(contender.name(), values, medians(&series.times));
    }
    Ok(table)
}
