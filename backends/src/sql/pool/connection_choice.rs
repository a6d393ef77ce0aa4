//! Chooses the connection of a call.

use std::time::Duration;

use super::abandoned::{AbandonedCalls, CallPermit};
use super::call::Connections;
use super::call_error::{CallError, is_unreachable};
use super::checked_out::CheckedOut;
use super::connection_permits::{ConnectionClass, Permit};
use super::server::Server;
use crate::sql::purpose::Purpose;

impl<DB: Server> Connections<DB> {
    /// Returns which connections serve the purpose. Where one is idle, it is used rather than a
    /// second one: an idle process has few sessions, and calls one after the other share one.
    pub(super) fn class_for(&self, purpose: Purpose, on_pool: bool) -> ConnectionClass {
        if on_pool || self.fallback.is_on() {
            return ConnectionClass::Calls;
        }
        let idle_heartbeats = self.permits.heartbeats.has_idle();
        match purpose {
            Purpose::Renew => ConnectionClass::Heartbeats,
            Purpose::Release
                if self.permits.has_own_calls()
                    && !idle_heartbeats
                    && self.abandoned_calls.has_room() =>
            {
                ConnectionClass::CallsFirst
            }
            Purpose::Release => ConnectionClass::Either,
            Purpose::Presence if idle_heartbeats => ConnectionClass::Either,
            // A call that only probes whether the server answers must not cost the heartbeats a
            // connection.
            Purpose::Read | Purpose::Acquire if self.abandoned_calls.has_room() => {
                ConnectionClass::IdleHeartbeat
            }
            // Changes are rare, and may wait long for a row.
            Purpose::Read | Purpose::Acquire | Purpose::Presence | Purpose::Change => {
                ConnectionClass::Calls
            }
        }
    }

    /// Returns a connection for the purpose.
    pub(super) async fn connection_for(
        &self,
        mut class: ConnectionClass,
        purpose: Purpose,
    ) -> Result<CheckedOut<DB>, CallError> {
        // A call that may not be repeated needs a connection that is known to be alive.
        let test_after = if purpose.is_repeatable() { Duration::MAX } else { Duration::ZERO };
        let first = match class {
            ConnectionClass::Calls
            | ConnectionClass::CallsFirst
            | ConnectionClass::IdleHeartbeat => &self.abandoned_calls,
            ConnectionClass::Heartbeats | ConnectionClass::Either => &self.abandoned_heartbeats,
        };
        let mut call_permit = Some(acquire_call_permit(first).await?);
        loop {
            let permit =
                self.permits.acquire_permit(class).await.map_err(|error| self.not_sent(error))?;
            let is_heartbeat = matches!(permit, Permit::Heartbeats(..));
            // A call that only borrows the connection must not count against the heartbeats.
            let abandoned = if is_heartbeat && class != ConnectionClass::IdleHeartbeat {
                &self.abandoned_heartbeats
            } else {
                &self.abandoned_calls
            };
            // Calls may have been abandoned while this one waited for its permit.
            let valid =
                call_permit.take().filter(|call_permit| abandoned.is_still_valid(call_permit));
            let Some(admitted) = valid.or_else(|| abandoned.try_acquire_permit()) else {
                drop(permit);
                call_permit = Some(acquire_call_permit(abandoned).await?);
                continue;
            };
            let error = match self.permits.check_out(permit, test_after).await {
                Ok(source) => return Ok(CheckedOut::new(source, admitted)),
                Err(error) => self.not_sent(error),
            };
            // The server may accept no more connections.
            if !is_heartbeat || !self.permits.has_idle() {
                return Err(error);
            }
            tracing::debug!(?error, "cannot open a separate connection for heartbeats");
            class = ConnectionClass::Calls;
        }
    }

    fn not_sent(&self, error: sqlx::Error) -> CallError {
        // Where nothing can be reached, the connections of abandoned calls are dead as well.
        if is_unreachable(&error) || DB::is_closed(&error) {
            self.abandoned_calls.forget();
            self.abandoned_heartbeats.forget();
        }
        CallError::NotSent(error)
    }
}

async fn acquire_call_permit(abandoned: &AbandonedCalls) -> Result<CallPermit, CallError> {
    abandoned.acquire_permit().await.map_err(CallError::TooManyAbandoned)
}
