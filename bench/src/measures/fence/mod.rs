//! This measures what a check of the fence costs, and whether it waits for another transaction of
//! its term.

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

const STATEMENTS: [Transactions; 2] = [
    Transactions { name: "SELECT 1", first: FirstStatement::SelectOne, beside_another: false },
    Transactions { name: "check", first: FirstStatement::Check, beside_another: false },
];

const CHECKS: [Transactions; 2] = [
    Transactions { name: "nothing", first: FirstStatement::Check, beside_another: false },
    Transactions {
        name: "a transaction that has checked",
        first: FirstStatement::Check,
        beside_another: true,
    },
];

/// Measures the check on an SQL database. On another datastore a check is a part of the
/// application's own write, so there is no table.
pub(crate) async fn measure(url: &str, plan: Plan) -> Result<Vec<Table>> {
    let (Some(session), Some(other)) = (session::open(url).await?, session::open(url).await?)
    else {
        return Ok(Vec::new());
    };
    let mut sessions = Sessions { session, other };
    let statements = Table::new(
        "Check of the fence",
        "first statement of a transaction",
        &columns("median to that of SELECT 1"),
    );
    let mut tables = vec![sessions.fill(statements, &STATEMENTS, plan).await?];
    // SQLite has one writer at a time, whatever its term is.
    if scheme(url) != "sqlite" {
        let checks = Table::new(
            "Check beside an open transaction of the term",
            "beside",
            &columns("median to that beside nothing"),
        );
        tables.push(sessions.fill(checks, &CHECKS, plan).await?);
    }
    Ok(tables)
}

fn columns(compared: &str) -> [(&str, Unit); 6] {
    [
        ("median", Unit::Micros),
        ("lower quartile", Unit::Micros),
        ("upper quartile", Unit::Micros),
        ("p99", Unit::Micros),
        ("slowest", Unit::Micros),
        (compared, Unit::Ratio),
    ]
}

/// One session is measured, and the other one holds a transaction open.
struct Sessions {
    session: Box<dyn Session>,
    other: Box<dyn Session>,
}

impl Sessions {
    /// Measures the contenders, compares each with the first one, and adds them to the table.
    async fn fill(
        &mut self,
        mut table: Table,
        contenders: &[Transactions],
        plan: Plan,
    ) -> Result<Table> {
        let series = interleave(contenders, plan, async |contender| {
            Ok((self.slice(contender).await?, SLICE))
        })
        .await?;
        let first = series.first().and_then(|series| of_slices(&series.times)[0]);
        for (contender, series) in contenders.iter().zip(&series) {
            let [median, lower, upper, p99] = of_slices(&series.times);
            let slowest = series.times.iter().flatten().copied().reduce(f64::max);
            let values = vec![median, lower, upper, p99, slowest, ratio(median, first)];
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
