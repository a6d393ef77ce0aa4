//! Makes all measurements on one server after the other.

use anyhow::{Context, Result, bail};

use crate::libraries;
use crate::machine::Machine;
use crate::measures::{
    calls_per_lock, cold_start, contended, crash, evenness, fair_lock, fence, hand_over, heartbeat,
    idle, uncontended,
};
use crate::options::{Measurement, Options};
use crate::report::{self, Results, ServerResults};
use crate::server::{self, Target};
use crate::slices::Plan;
use crate::table::Table;

/// Measures the chosen servers, and writes the results.
///
/// A measurement that fails is left out; the others are made.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut results = Results {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        slices: options.slices as usize,
        servers: Vec::new(),
    };
    let mut failed = Vec::new();
    for name in server::names(&options.backends)? {
        eprintln!("{name}");
        let target = server::start(name, folder.path()).await?;
        let mut of_server = OfServer { options, name, tables: Vec::new(), failed: Vec::new() };
        of_server.measure(&target).await.with_context(|| name.to_owned())?;
        failed.append(&mut of_server.failed);
        let server = ServerResults { name: name.to_owned(), tables: of_server.tables };
        println!("{}", report::tables(&server));
        results.servers.push(server);
        // What was measured is kept if a later server cannot be started.
        report::write(&results, &options.output)?;
    }
    eprintln!("the results are in {}", options.output.display());
    if !failed.is_empty() {
        bail!("these measurements failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The measurements of one server.
struct OfServer<'a> {
    options: &'a Options,
    name: &'a str,
    tables: Vec<Table>,
    failed: Vec<String>,
}

impl OfServer<'_> {
    async fn measure(&mut self, target: &Target) -> Result<()> {
        let url = target.url.as_str();
        let plan = Plan { slices: self.options.slices as usize };
        let libraries = libraries::open_all(url).await?;
        self.make(Measurement::Uncontended, uncontended(url, &libraries, plan)).await;
        // Workers open the libraries themselves, and servers limit the number of connections.
        let named = contended::named(&libraries);
        drop(libraries);
        self.make(Measurement::Calls, one(calls_per_lock::measure(url))).await;
        let hand_overs = hand_over::measure(url, &named, &hand_over::SETTINGS, plan);
        self.make(Measurement::HandOver, one(hand_overs)).await;
        self.make(Measurement::FairLock, fair_lock(url, plan)).await;
        self.make(Measurement::Evenness, one(evenness::measure(url, &named, plan))).await;
        self.make(Measurement::Heartbeat, one(heartbeat::measure(url))).await;
        let program = self.options.command_line.as_deref();
        self.make(Measurement::Crash, one(crash::measure(url, program))).await;
        self.make(Measurement::Idle, one(idle::measure(url))).await;
        self.make(Measurement::ColdStart, one(cold_start::measure(url, plan))).await;
        self.make(Measurement::Fence, fence::measure(url, plan)).await;
        Ok(())
    }

    /// Makes a measurement if it is chosen.
    async fn make(
        &mut self,
        measurement: Measurement,
        measuring: impl Future<Output = Result<Vec<Table>>>,
    ) {
        if !self.options.includes(measurement) {
            return;
        }
        let name = measurement.name();
        eprintln!("  {name}");
        match measuring.await {
            Ok(tables) => self.tables.extend(tables),
            Err(error) => {
                eprintln!("  {name} failed: {error:#}");
                self.failed.push(format!("{name} on {}", self.name));
            }
        }
    }
}

/// Returns a list of one table.
async fn one(measuring: impl Future<Output = Result<Table>>) -> Result<Vec<Table>> {
    Ok(vec![measuring.await?])
}
