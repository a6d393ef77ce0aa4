#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

//! Hundreds of terms under kills, resignations, disables and failing heartbeats, on paused time:
//! `stop` is called exactly once per started term, and before the next term's `start`.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::election::{JobError, Status};
use leasehold_core::{
    Client, ElectionHandle, Job, Leadership, MemoryStore, Settings, StopReason, TokioClock,
};
use support::{Link, Linked, Weather};

const TERMS: usize = 600;
const NAME: &str = "the-lead";

/// What all jobs of all processes did, checked as it happens.
#[derive(Debug, Default)]
struct Ledger {
    /// Who is between the call of `start` and the end of `stop`.
    active: Option<(usize, u64)>,
    last_token: u64,
    stops_of_last: usize,
    terms: usize,
    reasons: Vec<String>,
}

impl Ledger {
    fn started(&mut self, process: usize, token: u64) {
        assert_eq!(self.active, None, "process {process} starts term {token} too early");
        assert!(token > self.last_token, "term {token} comes after term {}", self.last_token);
        self.active = Some((process, token));
        self.last_token = token;
        self.stops_of_last = 0;
        self.terms += 1;
    }

    fn stopping(&mut self, process: usize, token: u64, reason: &StopReason) {
        assert_eq!(self.active, Some((process, token)), "a stop without a start");
        self.stops_of_last += 1;
        assert_eq!(self.stops_of_last, 1, "term {token} is stopped twice");
        let reason = reason.to_string();
        self.reasons.push(reason.split(':').next().unwrap_or_default().to_owned());
    }

    fn stopped(&mut self, process: usize, token: u64) {
        if self.active == Some((process, token)) {
            self.active = None;
        }
    }

    fn killed(&mut self, process: usize) {
        if self.active.is_some_and(|(who, _)| who == process) {
            self.active = None;
        }
    }
}

/// A process that can be killed: what its job does afterwards no longer counts.
#[derive(Debug)]
struct Process {
    id: usize,
    alive: AtomicBool,
    link: Arc<Link>,
}

struct RandomJob {
    process: Arc<Process>,
    ledger: Arc<Mutex<Ledger>>,
    random: Mutex<fastrand::Rng>,
    token: Mutex<u64>,
    grace: Duration,
}

impl RandomJob {
    fn counts(&self) -> bool {
        self.process.alive.load(Ordering::SeqCst)
    }

    fn draw(&self, sides: u32) -> u32 {
        self.random.lock().unwrap().u32(0..sides)
    }
}

/// Says that a `stop` has come to its end, aborted or not.
struct Stopped<'a>(&'a RandomJob, u64);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if self.0.counts() {
            self.0.ledger.lock().unwrap().stopped(self.0.process.id, self.1);
        }
    }
}

#[async_trait]
impl Job for RandomJob {
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        assert!(leadership.is_held());
        let token = leadership.token().get();
        *self.token.lock().unwrap() = token;
        if self.counts() {
            self.ledger.lock().unwrap().started(self.process.id, token);
        }
        match self.draw(10) {
            0 => Err("no luck".into()),
            1 => panic!("worse luck"),
            2..6 => {
                leadership.cancelled().await;
                Ok(())
            }
            6 => {
                // Ignores that it is cancelled, and has to be aborted.
                std::future::pending::<()>().await;
                Ok(())
            }
            7 => {
                tokio::time::sleep(self.grace).await;
                leadership.resign();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn stop(&self, reason: &StopReason) {
        let token = *self.token.lock().unwrap();
        if self.counts() {
            self.ledger.lock().unwrap().stopping(self.process.id, token, reason);
        }
        let _stopped = Stopped(self, token);
        match self.draw(8) {
            0 => std::future::pending().await,
            1 => panic!("stop has no luck either"),
            2..5 => tokio::time::sleep(self.grace.mul_f64(0.8)).await,
            _ => {}
        }
    }
}

struct Instance {
    process: Arc<Process>,
    election: ElectionHandle,
    client: Client,
}

struct Cluster {
    store: MemoryStore,
    clock: Arc<TokioClock>,
    ledger: Arc<Mutex<Ledger>>,
    random: fastrand::Rng,
    processes: usize,
}

impl Cluster {
    fn boot(&mut self) -> Instance {
        self.processes += 1;
        let seed = self.random.u64(..);
        let link = Link::new(&self.store, seed, Duration::from_millis(80));
        let process = Arc::new(Process {
            id: self.processes,
            alive: AtomicBool::new(true),
            link: link.clone(),
        });
        let settings = Settings::new().ttl(Duration::from_secs(9));
        let client = Client::builder(Arc::new(Linked(link)))
            .clock(self.clock.clone())
            .settings(settings)
            .seed(seed)
            .build()
            .unwrap();
        let job = RandomJob {
            process: process.clone(),
            ledger: self.ledger.clone(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            token: Mutex::new(0),
            grace: Duration::from_secs(3),
        };
        let election = client.election(NAME).unwrap().spawn(job);
        Instance { process, election, client }
    }
}

fn terms_of(ledger: &Mutex<Ledger>) -> usize {
    ledger.lock().unwrap().terms
}

#[tokio::test(start_paused = true)]
async fn every_started_term_is_stopped_once_and_before_the_next_begins() {
    let seed = std::env::var("LEASEHOLD_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("LEASEHOLD_SEED={seed}");
    let clock = Arc::new(TokioClock::new());
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut cluster = Cluster {
        store: MemoryStore::with_clock(clock.clone()),
        clock,
        ledger: ledger.clone(),
        random: fastrand::Rng::with_seed(seed),
        processes: 0,
    };
    let mut instances: Vec<_> = (0..3).map(|_| cluster.boot()).collect();
    // A panic in a job's task is the election's to catch, so a broken rule is looked for here.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        if !text.contains("luck") {
            eprintln!("{text}");
            std::process::abort();
        }
    }));
    let mut rounds = 0;
    while terms_of(&ledger) < TERMS {
        rounds += 1;
        assert!(rounds < TERMS * 50, "too few terms: {:?}", ledger.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(cluster.random.u64(0..9_000))).await;
        let chosen = cluster.random.usize(0..instances.len());
        let instance = &instances[chosen];
        match cluster.random.u32(0..12) {
            0 => {
                instance.process.alive.store(false, Ordering::SeqCst);
                instance.process.link.set(Weather::Away);
                ledger.lock().unwrap().killed(instance.process.id);
                instances[chosen] = cluster.boot();
            }
            1 => {
                let leaving = std::mem::replace(&mut instances[chosen], cluster.boot());
                leaving.election.shutdown().await;
            }
            2 => instance.election.resign().await,
            3 => {
                // An operator with a fair link of their own.
                let operator = Client::new(cluster.store.clone()).unwrap();
                operator.disable(NAME, "maintenance").await.unwrap();
                tokio::time::sleep(Duration::from_millis(cluster.random.u64(0..6_000))).await;
                operator.enable(NAME).await.unwrap();
            }
            4 => instance.process.link.set(Weather::Away),
            5 => instance.process.link.set(Weather::Hanging),
            6 => instance.process.link.set(Weather::Deaf),
            7 => assert!(instance.client.holder().pid > 0),
            _ => instances.iter().for_each(|instance| instance.process.link.set(Weather::Fair)),
        }
    }
    for instance in instances {
        instance.process.link.set(Weather::Fair);
        let mut status = instance.election.watch();
        instance.election.shutdown().await;
        let last: Status = status.borrow_and_update().clone();
        assert_eq!(last.token, None);
    }
    let ledger = ledger.lock().unwrap();
    assert_eq!(ledger.active, None, "a term was left running");
    println!("{} terms, {} processes, {rounds} events", ledger.terms, cluster.processes);
    for reason in ["resigned", "shut down", "disabled", "heartbeats failed", "start failed"] {
        let times = ledger.reasons.iter().filter(|given| *given == reason).count();
        println!("{times:5} × {reason}");
        assert!(times > 0, "no term ended because it was {reason}");
    }
}
