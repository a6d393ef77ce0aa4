//! A service has the router that a server serves, and its limits.

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::{Access, AdminApi, Limits};

/// A service is what a [`Server`](crate::Server) serves; it is made from an [`AdminApi`] or an
/// `Exporter`.
#[derive(Debug)]
pub struct Service {
    pub(super) router: Router,
    pub(super) access: Access,
    pub(super) limits: Limits,
    /// Cancelling this token ends the event streams, which do not end on their own.
    pub(super) streams: CancellationToken,
}

impl From<AdminApi> for Service {
    fn from(api: AdminApi) -> Self {
        let (access, limits) = (api.access.clone(), api.limits.clone());
        let streams = api.shutdown.child_token();
        Self { router: api.shutdown(streams.clone()).router(), access, limits, streams }
    }
}

#[cfg(feature = "prometheus")]
impl From<crate::Exporter> for Service {
    fn from(exporter: crate::Exporter) -> Self {
        let router = exporter.router();
        let crate::Exporter { access, limits, .. } = exporter;
        Self { router, access, limits, streams: CancellationToken::new() }
    }
}
