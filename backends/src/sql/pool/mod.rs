//! Calls on these connections to a database server leave nothing behind when they are dropped.

mod abandoned;
mod application_pool;
mod call;
mod call_error;
mod checked_out;
mod connection_choice;
mod connection_permits;
mod idle_connections;
mod own_connections;
mod pool_fallback;
mod possible_effect;
mod reaper;
mod server;
mod statement_calls;

pub(crate) use application_pool::application_pool;
#[cfg(all(test, feature = "mysql"))]
pub(crate) use call::CONFLICT_LIMIT;
pub(crate) use call::Connections;
pub(crate) use call_error::CallError;
pub(crate) use server::{Health, Server};
pub(crate) use statement_calls::BoundStatement;
