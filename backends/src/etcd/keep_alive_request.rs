//! A request to keep one etcd lease alive, and the reply to it.

use etcd_client::Error as EtcdError;
use tokio::sync::oneshot;

use crate::Moment;

/// A request to keep one lease alive.
pub(super) struct KeepAliveRequest {
    pub(super) lease: i64,
    pub(super) answer: oneshot::Sender<KeepAliveReply>,
}

/// What came of a keep-alive.
pub(super) enum KeepAliveReply {
    /// The etcd lease lasts its whole ttl from some time after this.
    Extended {
        /// The time of the request that was answered, which may be an earlier one.
        asked: Moment,
    },
    /// It is over.
    LeaseExpired,
    /// No stream was had for it.
    Failed(EtcdError),
    /// The stream broke off before the answer came, or nothing came on it.
    Unanswered,
}
