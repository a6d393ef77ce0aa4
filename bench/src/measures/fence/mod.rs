//! This measures what a check of the fence costs, and whether it waits for another transaction of
//! its term.

mod locked_row;
mod session;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::contender::Named;
use crate::slices::{Plan, WARM_UP, interleave};
use crate::statistics::{medians, micros, of_slices, ratio};
use crate::table::{Table, Unit};
use crate::url::scheme;

use session::{FirstStatement, Session};

const SLICE: Duration = Duration::from_millis(250);

/// These transactions begin with the same statement, while another transaction of the term may be
/// open.
struct Transactions {
    name: &'static str,
    first: FirstStatement,
    beside_another: bool,
}

impl Named for Transactions {
    fn name(&self) -> &str {
        self.name
    }
}

/// A group of contenders is measured in one table.
struct Group {
    title: &'static str,
    first_column: &'static str,
    contenders: &'static [Transactions],
    /// Each of these columns compares the medians with that of the contender at this index.
    compared_to: &'static [(&'static str, usize)],
}

const STATEMENTS: Group = Group {
    title: "Check of the fence",
    first_column: "first statement of a transaction",
    contenders: &[
        Transactions { name: "SELECT 1", first: FirstStatement::SelectOne, beside_another: false },
        Transactions {
            name: "one locked row",
            first: FirstStatement::LockedRow,
            beside_another: false,
        },
        Transactions { name: "check", first: FirstStatement::Check, beside_another: false },
    ],
    compared_to: &[("median to that of SELECT 1", 0), ("median to that of one locked row", 1)],
};

const CHECKS: Group = Group {
    title: "Check beside an open transaction of the term",
    first_column: "beside",
    contenders: &[
        Transactions { name: "nothing", first: FirstStatement::Check, beside_another: false },
        Transactions {
            name: "a transaction that has checked",
            first: FirstStatement::Check,
            beside_another: true,
        },
    ],
    compared_to: &[("median to that beside nothing", 0)],
};

/// Measures the check on an SQL database. On another datastore a check is a part of the
/// application's own write, so there is no table.
pub(crate) async fn measure(url: &str, plan: Plan) -> Result<Vec<Table>> {
    let (Some(session), Some(other)) = (session::open(url).await?, session::open(url).await?)
    else {
        return Ok(Vec::new());
    };
    let mut sessions = Sessions { session, other };
    let mut tables = vec![sessions.measure(&STATEMENTS, plan).await?];
    // SQLite has one writer at a time, whatever its term is.
    if scheme(url) != "sqlite" {
        tables.push(sessions.measure(&CHECKS, plan).await?);
    }
    Ok(tables)
}

impl Group {
    /// Returns the table without rows.
    fn table(&self) -> Table {
        let mut columns = vec![
            ("median", Unit::Micros),
            ("lower quartile", Unit::Micros),
            ("upper quartile", Unit::Micros),
            ("p99", Unit::Micros),
            ("slowest", Unit::Micros),
        ];
        columns.extend(self.compared_to.iter().map(|(column, _)| (*column, Unit::Ratio)));
        Table::new(self.title, self.first_column, &columns)
    }
}

/// One session is measured, and the other one holds a transaction open.
struct Sessions {
    session: Box<dyn Session>,
    other: Box<dyn Session>,
}

impl Sessions {
    /// Measures the contenders and compares them.
    async fn measure(&mut self, group: &Group, plan: Plan) -> Result<Table> {
        let series = interleave(group.contenders, plan, async |contender| {
            Ok((self.slice(contender).await?, SLICE))
        })
        .await?;
        let all: Vec<_> = series.iter().map(|series| of_slices(&series.times)).collect();
        let mut table = group.table();
        for ((contender, series), figures) in group.contenders.iter().zip(&series).zip(&all) {
            let slowest = series.times.iter().flatten().copied().reduce(f64::max);
            let mut values = figures.to_vec();
            values.push(slowest);
            values.extend(group.compared_to.iter().map(|(_, to)| ratio(figures[0], all[*to][0])));
            table.add(contender.name, values, medians(&series.times));
        }
        Ok(table)
    }

    /// Returns the times of the first statements of a slice's transactions.
    async fn slice(&mut self, contender: &Transactions) -> Result<Vec<f64>> {
        if contender.beside_another {
            self.other.begin(FirstStatement::Check).await?;
        }
        for _ in 0..WARM_UP {
            self.transact(contender.first).await?;
        }
        let (mut times, start) = (Vec::new(), Instant::now());
        while start.elapsed() < SLICE {
            times.push(micros(self.transact(contender.first).await?));
        }
        if contender.beside_another {
            self.other.commit().await?;
        }
        Ok(times)
    }

    async fn transact(&mut self, first: FirstStatement) -> Result<Duration> {
        let took = self.session.begin(first).await?;
        self.session.commit().await?;
        Ok(took)
    }
}
