//! A store is a datastore that decides which client holds a lock. The trait [`LockStore`] is the
//! contract, and the other types are what its methods take and return.

mod capabilities;
mod current_holder;
mod entry_outcomes;
mod ext;
mod hint;
pub mod intercept;
mod lock_kind;
mod lock_store;
mod memory;
mod options;
mod outcome;
mod presence;
mod queue;
mod record;
mod ttl;
mod unsupported;

pub use capabilities::{Capabilities, Reach, StoreClock, Wake};
pub use current_holder::CurrentHolder;
pub use ext::LockStoreExt;
pub use hint::{Hint, HintStream};
pub use lock_kind::LockKind;
pub use lock_store::LockStore;
pub use memory::MemoryStore;
pub use options::{
    AcquireOptions, DisableOptions, EnterOptions, ListOptions, PruneOptions, ReleaseOptions,
    RenewOptions,
};
pub use outcome::{
    AcquireOutcome, DisableOutcome, EnableOutcome, Grant, Held, Queued, ReleaseOutcome,
    RenewOutcome,
};
pub use presence::{InstanceRecord, Presence};
pub use queue::{EntryRecord, EntryStanding, MAX_ENTRIES, QueueRecord, count_holding};
pub use record::{Disablement, LeaseRecord, LockRecord, LockState};
pub use ttl::{MAX_TTL, check_ttl};
