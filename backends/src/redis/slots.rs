//! Finds the node of a cluster that stores a key.

use std::collections::{BTreeMap, BTreeSet};

use ::redis::Value;

use super::address::Address;
use super::record::unexpected_reply;
use crate::Result;

/// The number of slots of a cluster.
const SLOTS: u16 = 16384;

/// Returns the slot of a key, which depends only on the part in braces, if there is one.
pub(super) fn slot(key: &[u8]) -> u16 {
    let open = key.iter().position(|byte| *byte == b'{').map(|at| at + 1);
    let tag = open.and_then(|from| {
        let length = key[from..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[from..from + length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// Computes CRC-16/XMODEM, as the cluster specification defines it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let [high, low] = crc.to_be_bytes();
        (u16::from(low) << 8) ^ CRC_OF_BYTE[usize::from(high ^ byte)]
    })
}

/// The CRC of each byte, since a heartbeat computes the slots of all its leases.
const CRC_OF_BYTE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

/// Maps slots to primaries.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotMap {
    /// For the last slot of each range: its first slot and its primary.
    ranges: BTreeMap<u16, (u16, Address)>,
    /// The slots that a node reported to be at another one.
    moved: BTreeMap<u16, Address>,
    replicas: BTreeSet<Address>,
}

impl SlotMap {
    /// Reads the answer to `CLUSTER SLOTS`. A node may leave its own host out.
    pub(super) fn parse(answer: Value, asked_host: &str) -> Result<Self> {
        let Value::Array(ranges) = answer else { return Err(unexpected_reply()) };
        let mut map = Self::default();
        for range in ranges {
            // The first slot, the last slot, the primary, the replicas.
            let Value::Array(range) = range else { return Err(unexpected_reply()) };
            let [Value::Int(first), Value::Int(last), primary, replicas @ ..] = &range[..] else {
                return Err(unexpected_reply());
            };
            let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(*last)) else {
                return Err(unexpected_reply());
            };
            map.ranges.insert(last, (first, node(primary, asked_host)?));
            for replica in replicas {
                map.replicas.insert(node(replica, asked_host)?);
            }
        }
        Ok(map)
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Address> {
        self.moved.get(&slot).or_else(|| {
            let (_, (first, owner)) = self.ranges.range(slot..).next()?;
            (*first <= slot).then_some(owner)
        })
    }

    /// Notes that a node reported this one as the owner of the slot.
    pub(super) fn set_owner(&mut self, slot: u16, owner: Address) {
        self.moved.insert(slot, owner);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn primaries(&self) -> BTreeSet<&Address> {
        self.ranges.values().map(|(_, owner)| owner).chain(self.moved.values()).collect()
    }

    pub(super) fn nodes(&self) -> BTreeSet<&Address> {
        self.primaries().into_iter().chain(&self.replicas).collect()
    }
}

/// Reads host and port; further elements are ignored.
fn node(value: &Value, asked_host: &str) -> Result<Address> {
    let Value::Array(parts) = value else { return Err(unexpected_reply()) };
    let host = match parts.first() {
        Some(Value::BulkString(host)) => str::from_utf8(host).map_err(|_| unexpected_reply())?,
        Some(Value::SimpleString(host)) => host,
        _ => "",
    };
    let Some(Value::Int(port)) = parts.get(1) else { return Err(unexpected_reply()) };
    let port = u16::try_from(*port).map_err(|_| unexpected_reply())?;
    Ok(Address { host: known(host, asked_host), port })
}

/// Returns the host that a node reports, or the one at which it was asked if it does not know its
/// own.
fn known(host: &str, asked_host: &str) -> String {
    if matches!(host, "" | "?") { asked_host.to_owned() } else { host.to_owned() }
}

/// Parses the node in the text of a redirection, `HOST:PORT`.
pub(super) fn redirected(text: &str, asked_host: &str) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    Some(Address { host: known(host, asked_host), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_match_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, slot_of) in
            [("foo", 12182), ("bar", 5061), ("{foo}bar", 12182), ("a{foo}{bar}", 12182)]
        {
            assert_eq!(slot(key.as_bytes()), slot_of, "{key}");
        }
        // Empty braces are a part of the key like any other.
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"{foo"), crc16(b"{foo") % SLOTS);
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn range(first: i64, last: i64, nodes: &[(&str, i64)]) -> Value {
        let node = |(host, port): &(&str, i64)| {
            Value::Array(vec![bulk(host), Value::Int(*port), bulk("id"), Value::Array(vec![])])
        };
        let mut range = vec![Value::Int(first), Value::Int(last)];
        range.extend(nodes.iter().map(node));
        Value::Array(range)
    }

    #[test]
    fn each_slot_has_its_owner() {
        let answer = Value::Array(vec![
            range(100, 199, &[("b", 2), ("c", 3)]),
            range(0, 99, &[("", 1)]),
            range(300, 300, &[("b", 2)]),
        ]);
        let mut map = SlotMap::parse(answer, "asked").unwrap();
        let owner = |map: &SlotMap, slot| map.owner(slot).map(ToString::to_string);
        for (slot, expected) in [
            (0, Some("asked:1")),
            (99, Some("asked:1")),
            (100, Some("b:2")),
            (200, None),
            (300, Some("b:2")),
            (301, None),
        ] {
            assert_eq!(owner(&map, slot).as_deref(), expected, "{slot}");
        }
        assert_eq!((map.primaries().len(), map.nodes().len()), (2, 3));
        map.set_owner(99, redirected(":7", "same").unwrap());
        assert_eq!(owner(&map, 99).as_deref(), Some("same:7"));
        assert_eq!(redirected("[::1]:7", "x").unwrap().host, "::1");
        for damaged in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![range(-1, 0, &[("a", 1)])]),
        ] {
            assert!(SlotMap::parse(damaged, "asked").is_err());
        }
    }
}
