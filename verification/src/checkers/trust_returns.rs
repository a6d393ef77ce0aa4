//! Trust that has ended does not return: a caller that was told once that a lease is not held may
//! rely on that.

use std::collections::HashMap;
use std::time::Duration;

use super::found::Found;
use crate::history::{Event, History};

pub(super) fn check(history: &History) -> Found {
    let mut trusted: HashMap<_, Duration> = HashMap::new();
    for (now, event) in &history.events {
        match event {
            Event::TrustExtended(process, name, token, until) => {
                let last = trusted.insert((process, name, token), *until);
                if let Some(last) = last.filter(|last| last <= now) {
                    let what = format!(
                        "{process} trusts {token} of {name} again after its trust ended at {last:?}"
                    );
                    return Err((*now, what));
                }
            }
            Event::TrustEnded(process, name, token) => {
                trusted.insert((process, name, token), Duration::ZERO);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restored_trust_is_found() {
        let trusts = |until| Event::TrustExtended(1, 0, 10, Duration::from_secs(until));
        let found = |between: (f64, Event), again| {
            check(&History::of(&[(1.0, trusts(5)), between, (again, trusts(9))]).unwrap())
        };
        assert!(found((2.0, Event::MessageFault(1)), 4.0).is_ok());
        assert!(found((2.0, Event::MessageFault(1)), 5.0).is_err());
        assert!(found((2.0, Event::TrustEnded(1, 0, 10)), 4.0).is_err());
        assert!(found((2.0, Event::TrustEnded(1, 0, 9)), 4.0).is_ok());
    }
}
