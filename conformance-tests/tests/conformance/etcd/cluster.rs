//! This module starts three members of etcd, each in its own container, which can be frozen or cut
//! off.

use std::net::TcpListener;

use etcd_client::{Client, ConnectOptions, Error as EtcdError};
use leasehold_core::Result;
use leasehold_test_servers::catalog::ETCD;
use leasehold_test_servers::until_ready;
use tokio::process::Command;

use crate::broken::broken;

/// This is the label by which stale containers and networks can be found.
const LABEL: &str = "leasehold.test=server";

/// This is a cluster that is removed when this value is dropped.
pub(super) struct Cluster {
    /// This is the name of the network between the members, and the prefix of each container's
    /// name.
    name: String,
    ports: Vec<u16>,
}

impl Cluster {
    pub(super) async fn start() -> Result<Self> {
        let name = format!("leasehold-etcd-{:08x}", fastrand::u32(..));
        let mut cluster = Self { name, ports: Vec::new() };
        docker(&["network", "create", "--label", LABEL, &cluster.name]).await?;
        for member in 0..3 {
            let port = free_port().map_err(broken)?;
            cluster.ports.push(port);
            cluster.create(member, port).await?;
        }
        // The members start at the same time, because the first waits for a majority.
        for member in 0..3 {
            docker(&["start", &cluster.container(member)]).await?;
        }
        until_ready(|| cluster.leader_among(&[0, 1, 2])).await?;
        Ok(cluster)
    }

    async fn create(&self, member: usize, port: u16) -> Result<()> {
        let (container, alias) = (self.container(member), host(member));
        let all: Vec<_> = (0..3).map(|it| format!("{0}=http://{0}:2380", host(it))).collect();
        let publish = format!("127.0.0.1:{port}:2379");
        let command = [
            "etcd",
            &format!("--name={alias}"),
            "--data-dir=/tmp/etcd",
            &format!("--initial-cluster={}", all.join(",")),
            &format!("--initial-advertise-peer-urls=http://{alias}:2380"),
            "--listen-peer-urls=http://0.0.0.0:2380",
            "--listen-client-urls=http://0.0.0.0:2379",
            &format!("--advertise-client-urls=http://{alias}:2379"),
        ];
        let (image, tag) = ETCD.chosen();
        let image = format!("{image}:{tag}");
        let start = ["create", "--label", LABEL, "--name", &container, "-p", &publish, &image];
        docker(&[&start[..], &command[..]].concat()).await?;
        docker(&["network", "connect", "--alias", &alias, &self.name, &container]).await?;
        Ok(())
    }

    fn container(&self, member: usize) -> String {
        format!("{}-{}", self.name, host(member))
    }

    /// Returns host and port of a member.
    pub(super) fn address(&self, member: usize) -> String {
        format!("127.0.0.1:{}", self.ports[member])
    }

    /// Returns the URL that names those members, in that order.
    pub(super) fn url(&self, members: &[usize]) -> String {
        let addresses: Vec<_> = members.iter().map(|member| self.address(*member)).collect();
        ETCD.url_at(&addresses.join(","))
    }

    /// Freezes a member: it accepts connections but does not reply.
    pub(super) async fn freeze(&self, member: usize) -> Result<()> {
        docker(&["pause", &self.container(member)]).await
    }

    /// Cuts a member off from its peers, but not from its clients.
    pub(super) async fn cut_off(&self, member: usize) -> Result<()> {
        docker(&["network", "disconnect", &self.name, &self.container(member)]).await
    }

    /// Returns the member among these that reports itself as the leader, once all of them reply.
    pub(super) async fn leader_among(
        &self,
        members: &[usize],
    ) -> std::result::Result<usize, EtcdError> {
        let mut leader = None;
        for member in members {
            let mut client = self.client(*member).await?;
            client.get("x", None).await?;
            let status = client.status().await?;
            if status.header().is_some_and(|header| header.member_id() == status.leader()) {
                leader = Some(*member);
            }
        }
        leader.ok_or_else(|| EtcdError::Internal("there is no leader yet".to_owned()))
    }

    /// Waits until a member reports that it has no leader.
    pub(super) async fn until_alone(&self, member: usize) -> Result<()> {
        until_ready(|| async {
            match self.client(member).await?.get("x", None).await {
                Err(error) if error.to_string().contains("no leader") => Ok(()),
                Err(error) => Err(error),
                Ok(_) => Err(EtcdError::Internal("it still has a leader".to_owned())),
            }
        })
        .await
    }

    /// Returns a client of one member.
    pub(super) async fn client(&self, member: usize) -> std::result::Result<Client, EtcdError> {
        let options = ConnectOptions::new()
            .with_require_leader(true)
            .with_timeout(std::time::Duration::from_secs(3));
        Client::connect([self.address(member)], Some(options)).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let run = |arguments: &[&str]| {
            _ = std::process::Command::new("docker").args(arguments).output();
        };
        for member in 0..self.ports.len() {
            run(&["rm", "--force", "--volumes", &self.container(member)]);
        }
        run(&["network", "rm", &self.name]);
    }
}

fn host(member: usize) -> String {
    format!("m{member}")
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

async fn docker(arguments: &[&str]) -> Result<()> {
    let done = Command::new("docker").args(arguments).output().await.map_err(broken)?;
    if done.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(broken(std::io::Error::other(format!("docker {}: {stderr}", arguments.join(" ")))))
}
