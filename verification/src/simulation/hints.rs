//! This module defines faults of the store's hints on an instance's link.

use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use leasehold_core::{Hint, HintStream};
use tokio::sync::mpsc;

use super::link::SimulatedStore;
use super::message_faults::Delivery;
use super::names::NameTable;
use super::{Defect, FaultProfile};
use crate::history::Event;

impl SimulatedStore {
    pub(super) fn note_hint(&self, hint: &Hint) {
        let name = match hint {
            Hint::Name(name) | Hint::Entries(name, _) => Some(NameTable::number(name)),
            _ => None,
        };
        self.note(Event::Hinted(self.0.process, name));
    }

    /// Forwards hints with the faults of the profile: late, in another order, twice or not at all.
    pub(super) async fn forward(self, mut hints: HintStream, to: mpsc::UnboundedSender<Hint>) {
        let silent = self.0.recording_store.defect == Some(Defect::NeverHints);
        loop {
            let hint = tokio::select! {
                biased;
                () = to.closed() => return,
                hint = hints.next() => match hint {
                    Some(hint) => hint,
                    None => return,
                },
            };
            let profile = self.profile();
            if self.0.crashed.load(Ordering::SeqCst) || profile == FaultProfile::Refusing {
                return;
            }
            let (first, again) = (self.draw_faults(), self.draw_faults());
            let repeated = profile == FaultProfile::Rough && again.request == Delivery::Refused;
            for faults in [Some(first), repeated.then_some(again)].into_iter().flatten() {
                if silent || faults.request != Delivery::Arrives {
                    continue;
                }
                let (this, to, hint) = (self.clone(), to.clone(), hint.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(faults.request_delay).await;
                    this.0.gate.let_message_in().await;
                    this.note_hint(&hint);
                    let _ = to.send(hint);
                });
            }
        }
    }
}
