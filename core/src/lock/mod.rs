//! Locks let a limited number of instances at a time run a section of code: one, or as many as the
//! kind of the lock says.

mod acquire;
mod exclusive;
mod fair;
mod guard;
mod held_lease;
mod held_state;
mod named_lock;
mod position;
mod rw_lock;
mod semaphore;
mod waiter;

pub use exclusive::Lock;
pub use fair::FairLock;
pub use guard::Guard;
pub(crate) use named_lock::NamedLock;
pub use position::Position;
pub use rw_lock::RwLock;
pub use semaphore::Semaphore;
