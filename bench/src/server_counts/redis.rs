//! Redis and Valkey count each command. Those that scripts call are counted too, so only commands
//! that clients send are added up.

use anyhow::Result;
use async_trait::async_trait;
use redis::aio::MultiplexedConnection;

use super::counts::{Counts, CountsReader};

/// Clients send these commands. No script of a library that is measured calls one of them.
const COMMANDS: [&str; 14] = [
    "auth",
    "client|setinfo",
    "eval",
    "evalsha",
    "hello",
    "ping",
    "psubscribe",
    "role",
    "script|load",
    "select",
    "set",
    "subscribe",
    "unsubscribe",
    "wait",
];

pub(super) struct Redis(MultiplexedConnection);

pub(super) async fn open(url: &str) -> Result<Redis> {
    let client = redis::Client::open(url)?;
    Ok(Redis(client.get_multiplexed_async_connection().await?))
}

#[async_trait]
impl CountsReader for Redis {
    async fn read(&self) -> Result<Counts> {
        let mut connection = self.0.clone();
        let info = redis::cmd("INFO").arg("all").query_async::<String>(&mut connection).await?;
        Ok(parse(&info))
    }
}

fn parse(info: &str) -> Counts {
    let value = |name: &str| -> Option<f64> {
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
        info.lines().find_map(value)
    };
    let calls = |command: &str| -> Option<f64> {
        let prefix = format!("cmdstat_{command}:calls=");
        let count = info.lines().find_map(|line| line.strip_prefix(prefix.as_str()))?;
        count.split(',').next()?.parse().ok()
    };
    Counts {
        calls: COMMANDS.iter().filter_map(|command| calls(command)).sum(),
        writes: None,
        opened: value("total_connections_received"),
        open: value("connected_clients").map(|clients| clients - 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_clients_are_added_up() {
        let info = "# Clients\r\nconnected_clients:3\r\n# Stats\r\n\
             total_connections_received:12\r\n# Commandstats\r\n\
             cmdstat_evalsha:calls=40,usec=400,usec_per_call=10.00\r\n\
             cmdstat_hget:calls=99,usec=1,usec_per_call=0.01\r\n\
             cmdstat_ping:calls=2,usec=2,usec_per_call=1.00\r\n";
        let counts = parse(info);
        assert_eq!(counts.calls, 42.0);
        assert_eq!((counts.opened, counts.open), (Some(12.0), Some(2.0)));
    }
}
