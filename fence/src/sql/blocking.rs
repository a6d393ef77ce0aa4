//! What drivers need whose calls block.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs a future of a driver that blocks, which is ready at once.
pub(crate) fn run<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<leasehold_core::Error>,
{
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => {
            let message = "a driver that blocks has not finished its call";
            Err(leasehold_core::Error::new(leasehold_core::ErrorKind::Unsupported, message).into())
        }
    }
}
