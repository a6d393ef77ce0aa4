//! The statements of a fence on SQL databases, which all drivers share.
//!
//! An application with a driver that this crate has no module for runs [`Statements`] itself:
//!
//! 1. To raise the fence, once a term: run [`announce`](Statements::announce) in a transaction of its
//!    own; if it returns more than the token, the term is stale, otherwise this is the floor for what
//!    follows. Run [`raise`](Statements::raise) in a second transaction, with a limit on its time; if
//!    it returns more than the token, the term is stale.
//! 2. To check it, first in each transaction: run [`check`](Statements::check). If it returns no
//!    row, roll back.

#![cfg_attr(
    not(feature = "_sql-driver"),
    allow(dead_code, unused_imports, reason = "only the drivers' modules need the rest")
)]

mod description;
pub(crate) mod failure;
mod limit;
pub(crate) mod protocol;
pub(crate) mod session;
mod statement;
mod statements;
mod table;
mod verdict;

pub use statement::{Database, Parameter, Statement};
pub(crate) use statement::{Value, Values};
pub use statements::Statements;
pub use table::schema;
