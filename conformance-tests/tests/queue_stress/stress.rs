//! Processes are paused, killed and started again while their clients use locks of each kind.

use std::env;
use std::time::{Duration, Instant};

use leasehold::Namespace;
use leasehold_core::LockKind;
use leasehold_test_servers::{Image, skipped};
use tokio::time::sleep;

use crate::attempt::NAME;
use crate::check::violations;
use crate::event::Event;
use crate::history::History;
use crate::server::Target;
use crate::worker::{self, CLIENTS, Job};
use crate::worker_process::WorkerProcess;

/// How many processes use each lock, with which ttl, and for how long they are paused and killed.
#[derive(Clone, Copy, Debug)]
struct Scale {
    processes: usize,
    ttl: Duration,
    seconds: Duration,
}

/// This is the scale unless the environment variable says how long. etcd has no shorter leases.
const SMALL: Scale =
    Scale { processes: 4, ttl: Duration::from_secs(2), seconds: Duration::from_secs(3) };

/// Heartbeats of this many stores are a load for the server, so they have longer leases.
const LARGE: Scale =
    Scale { processes: 16, ttl: Duration::from_secs(6), seconds: Duration::from_secs(60) };

/// If no client holds the lock for this long, all of them are stuck. What a dead process leaves
/// behind is over after a ttl.
const STUCK: Duration = Duration::from_secs(180);

/// Puts locks of each kind on that server under stress.
pub(crate) fn on_server(image: &'static Image) {
    if skipped(image.name) {
        eprintln!("{}: skipped", image.name);
        return;
    }
    block_on(async {
        let target = Target::start(image).await;
        each_kind(image.name, &target.url, &target.namespace).await;
        target.remove().await;
    });
}

/// Puts locks of each kind in an SQLite file under stress.
pub(crate) fn on_sqlite() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("locks.db").display());
        each_kind("sqlite", &url, &Namespace::default()).await;
    });
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(test);
}

async fn each_kind(server: &str, url: &str, namespace: &Namespace) {
    let kinds = [
        LockKind::Fair,
        LockKind::semaphore(5).unwrap(),
        LockKind::ReaderWriter,
        LockKind::leaders(3).unwrap(),
    ];
    let scale = Scale::from_env();
    for kind in kinds {
        let job = Job {
            url: url.to_owned(),
            namespace: namespace.to_string(),
            kind: kind.code(),
            ttl: scale.ttl,
        };
        let stress = Stress::start(server, kind, scale, job);
        stress.run().await;
    }
}

impl Scale {
    fn from_env() -> Self {
        let Ok(given) = env::var("LEASEHOLD_TEST_QUEUE_SECONDS") else { return SMALL };
        let seconds = given.parse().expect("LEASEHOLD_TEST_QUEUE_SECONDS is a number");
        Self { seconds: Duration::from_secs(seconds), ..LARGE }
    }

    /// A process that was paused for so long has lost its leases when it continues.
    fn pause(self) -> Duration {
        self.ttl * 3 / 2
    }
}

struct Stress<'a> {
    server: &'a str,
    kind: LockKind,
    scale: Scale,
    job: Job,
    workers: Vec<WorkerProcess>,
    /// The processes that were killed had reported these events.
    ended: Vec<Vec<Event>>,
    paused: u64,
    killed: u64,
}

impl<'a> Stress<'a> {
    fn start(server: &'a str, kind: LockKind, scale: Scale, job: Job) -> Self {
        let workers = (0..scale.processes).map(|_| WorkerProcess::start(&job)).collect();
        Self { server, kind, scale, job, workers, ended: Vec::new(), paused: 0, killed: 0 }
    }

    async fn run(mut self) {
        // Processes that have not started yet would not notice what happens to them.
        self.until(|stress| stress.workers.iter().all(|worker| worker.held() > 0)).await;
        let end = Instant::now() + self.scale.seconds;
        for round in 0.. {
            self.disturb(round).await;
            if Instant::now() >= end {
                break;
            }
        }
        self.workers.iter_mut().for_each(WorkerProcess::finish);
        // Each client holds the lock once more, however long that takes.
        self.until(|stress| stress.ended_workers() == stress.scale.processes).await;
        self.wait_for_empty_queue().await;

        let mut history = History::default();
        let running = self.workers.drain(..).map(WorkerProcess::into_events);
        let events = self.ended.drain(..).chain(running);
        events.flatten().for_each(|event| history.add(&event));
        self.check(&history);
    }

    /// Pauses two processes and kills two others. One of those that were paused is killed too in
    /// every second round.
    async fn disturb(&mut self, round: usize) {
        let processes = self.scale.processes;
        let [one, two, three, four] =
            [0, 1, 2, 3].map(|part| (round + part * processes / 4) % processes);
        for paused in [one, two] {
            self.workers[paused].signal("-STOP");
            self.paused += 1;
        }
        self.replace(three);
        sleep(self.scale.pause()).await;
        self.workers[one].signal("-CONT");
        match round % 2 {
            0 => self.workers[two].signal("-CONT"),
            _ => self.replace(two),
        }
        self.replace(four);
        sleep(self.scale.ttl / 4).await;
    }

    /// Kills a process, and starts another one.
    fn replace(&mut self, at: usize) {
        let new = WorkerProcess::start(&self.job);
        let mut killed = std::mem::replace(&mut self.workers[at], new);
        assert!(killed.ended().is_none(), "{}: a worker has failed", self.name());
        self.ended.push(killed.into_events());
        self.killed += 1;
    }

    /// Waits for that condition, for as long as clients get the lock or processes end.
    ///
    /// # Panics
    /// This panics if neither happens for a long time, or if a process has failed.
    async fn until(&mut self, condition: impl Fn(&mut Self) -> bool) {
        let (mut last, mut since) = (self.progress(), Instant::now());
        while !condition(self) {
            let progress = self.progress();
            if progress != last {
                (last, since) = (progress, Instant::now());
            }
            let stuck = since.elapsed();
            assert!(stuck < STUCK, "{}: no client has got the lock for {stuck:?}", self.name());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns how often clients have held the lock, and how many processes have ended.
    fn progress(&mut self) -> (u64, usize) {
        (self.workers.iter().map(WorkerProcess::held).sum(), self.ended_workers())
    }

    fn ended_workers(&mut self) -> usize {
        let name = self.name();
        let ended = self.workers.iter_mut().filter_map(WorkerProcess::ended);
        ended
            .inspect(|status| assert!(status.success(), "{name}: a worker failed: {status}"))
            .count()
    }

    /// Waits until the store shows no entry. The last ones to go are those of killed processes.
    async fn wait_for_empty_queue(&self) {
        let client = worker::open(&self.job).await.unwrap();
        let begun = Instant::now();
        loop {
            let record = client.status(NAME).await.unwrap();
            let entries = record.queue.map_or(0, |queue| queue.entries.len());
            if entries == 0 {
                return;
            }
            assert!(begun.elapsed() < STUCK, "{}: {entries} entries stay", self.name());
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn name(&self) -> String {
        format!("{}, {}", self.server, self.kind)
    }

    fn check(&self, history: &History) {
        let entries = history.entries();
        let endings = &history.endings;
        let trusted = entries.iter().filter(|entry| entry.trusted.is_some()).count();
        println!(
            "{}: {} entries, {trusted} trusted; attempts: {} held, {} lost, {} refused, {} too \
             late, {} failed {:?}; {} pauses, {} kills",
            self.name(),
            entries.len(),
            endings.held,
            endings.lost,
            endings.refused,
            endings.timed_out,
            endings.failed,
            endings.last_failure,
            self.paused,
            self.killed,
        );
        let mut found = history.faults.clone();
        found.extend(violations(&entries, self.kind.capacity()));
        assert!(found.is_empty(), "{}: {found:#?}", self.name());
        assert_eq!(history.finished, self.scale.processes * CLIENTS, "{}: clients", self.name());
        assert!(trusted >= self.scale.processes * CLIENTS, "{}: too few holders", self.name());
    }
}
