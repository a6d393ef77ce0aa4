//! The control API is an axum router.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{ALLOW, CONTENT_SECURITY_POLICY, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use leasehold_core::Client;
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;
use crate::state::ApiState;
use crate::{Access, Limits, access, compat, dashboard, events, health, instances, locks, openapi};

/// An admin API is the HTTP control API of one client's store.
///
/// Clones share their limits.
#[derive(Clone, Debug)]
pub struct AdminApi {
    client: Client,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    pub(crate) shutdown: CancellationToken,
    #[cfg(feature = "prometheus")]
    metrics: Option<crate::Metrics>,
}

impl AdminApi {
    /// Creates the API of that client's store, for this machine only: see [`Access`].
    ///
    /// A lock that is disabled through the API names the client's holder as the operator; a
    /// [`label`](leasehold_core::ClientBuilder::label) tells people which program that is.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            access: Access::default(),
            limits: Limits::default(),
            shutdown: CancellationToken::new(),
            #[cfg(feature = "prometheus")]
            metrics: None,
        }
    }

    /// Sets which callers are accepted.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Sets limits other than the default ones.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets a token that ends the event streams when it is cancelled, for an application's
    /// shutdown: such a response does not end on its own, and a graceful shutdown would wait for
    /// it.
    #[must_use]
    pub fn shutdown(self, shutdown: CancellationToken) -> Self {
        Self { shutdown, ..self }
    }

    /// Adds the endpoint `GET /metrics` with those metrics, under the same access rule.
    #[cfg(feature = "prometheus")]
    #[must_use]
    pub fn metrics(self, metrics: crate::Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Returns the whole API, to serve alone or to mount. [`Router::nest_service`] mounts it at a
    /// path with and without a final slash, and [`Router::nest`] only without one, which matters to
    /// the dashboard.
    pub fn router(&self) -> Router {
        let state = self.state();
        let guard = middleware::from_fn_with_state(self.access.clone(), access::guard);
        let guarded = Router::new()
            .route("/", get(dashboard::page))
            .route("/v1/locks", get(locks::list))
            .route("/v1/locks/{name}", get(locks::get))
            .route("/v1/locks/{name}/disable", post(locks::disable))
            .route("/v1/locks/{name}/enable", post(locks::enable))
            .route("/v1/locks/{name}/resign", post(locks::resign))
            .route("/v1/instances", get(instances::list))
            .route("/v1/events", get(events::events))
            .route("/openapi.json", get(openapi::document))
            .merge(compat::routes())
            .merge(self.metrics_route(&state))
            .fallback(async || Problem::not_found())
            .layer(guard);
        let open = Router::new()
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready));
        finish(guarded.merge(open).with_state(state), &self.limits)
    }

    /// Returns only the two calls of the original, to merge into an application whose callers use
    /// its paths: `POST /api/MasterControls/disable` and `/enable`, in both spellings.
    pub fn original_router(&self) -> Router {
        let state = self.state();
        let guard = middleware::from_fn_with_state(self.access.clone(), access::guard);
        finish(compat::routes().route_layer(guard).with_state(state), &self.limits)
    }

    #[cfg(feature = "prometheus")]
    fn metrics_route(&self, state: &ApiState) -> Router<Arc<ApiState>> {
        let route = |metrics| crate::metrics::route(metrics, state.gate.clone());
        self.metrics.clone().map_or_else(Router::new, route)
    }

    #[cfg(not(feature = "prometheus"))]
    fn metrics_route(&self, _: &ApiState) -> Router<Arc<ApiState>> {
        Router::new()
    }

    fn state(&self) -> Arc<ApiState> {
        Arc::new(ApiState::new(self.client.clone(), self.limits.clone(), self.shutdown.clone()))
    }
}

/// Adds the layers that apply to every response.
pub(crate) fn finish(router: Router, limits: &Limits) -> Router {
    let limit = DefaultBodyLimit::max(limits.body_bytes);
    router.layer(limit).layer(middleware::from_fn(complete_response))
}

/// Adds headers against caching, framing and content sniffing to every response. The response to an
/// unsupported method becomes a problem too. Only the page has its own policy.
async fn complete_response(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (axum::http::header::CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (axum::http::header::REFERRER_POLICY, "no-referrer"),
        (axum::http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers_mut().remove(ALLOW);
        response = Problem::method_not_allowed().allowing(allow).into_response();
    }
    let policy = response.headers_mut().remove(CONTENT_SECURITY_POLICY);
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Some(policy) = policy {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}
