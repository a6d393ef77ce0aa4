//! Drivers whose calls block run the futures of this crate through this module.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs a future of a driver whose calls block, so that the future is ready when first polled.
pub(crate) fn run<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: From<leasehold_core::Error>,
{
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => {
            let message = "a call of a blocking driver returned before it was finished";
            Err(leasehold_core::Error::new(leasehold_core::ErrorKind::Unsupported, message).into())
        }
    }
}
