//! Many instances campaign, and a server controls them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use leasehold::election::{ElectionHandle, Status, job_fn};
use leasehold::{Client, Namespace, OpenOptions, Settings, url};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::support::Bench;

/// This ttl is so long that no heartbeat and no poll informs an instance in time.
const TTL: Duration = Duration::from_secs(1200);

const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Instances share stores, because servers by default allow too few connections for a pool each.
const INSTANCES_PER_STORE: usize = 10;

pub(crate) struct Instances {
    runtime: Runtime,
    elections: Vec<ElectionHandle>,
}

impl Instances {
    pub(crate) fn start(bench: &Bench, size: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let elections = runtime.block_on(async {
            let mut elections = Vec::new();
            while elections.len() < size {
                let namespace = bench.namespace().parse::<Namespace>().unwrap();
                let options = OpenOptions::default().with_namespace(namespace);
                let store = url::open(bench.store(), &options).await.unwrap();
                for _ in 0..INSTANCES_PER_STORE.min(size - elections.len()) {
                    let settings = Settings::default().ttl(TTL);
                    let client = Client::builder(store.clone()).settings(settings).build().unwrap();
                    elections.push(client.election("hello").unwrap().spawn(job_fn(
                        async |leadership| {
                            leadership.cancelled().await;
                            Ok(())
                        },
                    )));
                }
            }
            elections
        });
        Self { runtime, elections }
    }

    /// Waits until every instance knows that the name is disabled, and none leads.
    pub(crate) fn until_disabled(&self) {
        self.until("disabled", |status| status.disabled.is_some() && !status.is_leading());
    }

    /// Waits until one instance leads, and every other one knows it.
    pub(crate) fn until_one_leads(&self) {
        self.until("led", |status| {
            status.disabled.is_none() && (status.is_leading() || status.leader.is_some())
        });
        let leading = self.elections.iter().filter(|it| it.status().is_leading()).count();
        assert_eq!(leading, 1);
    }

    fn until(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        self.runtime.block_on(async {
            for (number, election) in self.elections.iter().enumerate() {
                let mut status = election.watch();
                let known = timeout(TEST_TIMEOUT, status.wait_for(&condition)).await;
                assert!(known.is_ok(), "{number} is not {what}: {:?}", election.status());
            }
        });
    }
}

/// This value is a running `leasehold serve`, which is killed when it is dropped.
pub(crate) struct Serve {
    child: Child,
    address: String,
}

impl Serve {
    pub(crate) fn start(bench: &Bench) -> Self {
        let mut command = bench.leasehold(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
        Self { child, address }
    }

    pub(crate) fn post(&self, path: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (address, length) = (&self.address, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
