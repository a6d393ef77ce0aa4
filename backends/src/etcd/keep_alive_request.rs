//! A request to keep one etcd lease alive, and the reply to it.

use etcd_client::Error as EtcdError;
use tokio::sync::oneshot;

use crate::Moment;

/// A request to keep one etcd lease alive, and where to send the reply.
pub(super) struct KeepAliveRequest {
    pub(super) lease: i64,
    pub(super) answer: oneshot::Sender<KeepAliveReply>,
}

/// The result of a keep-alive.
pub(super) enum KeepAliveReply {
    /// The etcd lease was extended by its whole ttl, at some time after `sent_at`.
    Extended {
        /// The time of the request that was answered, which may be an earlier one.
        sent_at: Moment,
    },
    /// The etcd lease has expired.
    LeaseExpired,
    /// No stream could be opened for the request.
    Failed(EtcdError),
    /// The stream broke off before the answer came, or nothing came on it.
    Unanswered,
}
