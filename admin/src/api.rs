//! The API as a router.

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

use crate::feed::Feed;
use crate::health::Readiness;
use crate::limits::Gate;
use crate::problem::Problem;
use crate::{
    Access, Limits, access, dashboard, events, health, instances, locks, openapi, original,
};

/// The HTTP control API of one client's store.
///
/// Clones share their limits.
#[derive(Clone, Debug)]
pub struct AdminApi {
    client: Client,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    pub(crate) shutdown: CancellationToken,
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) client: Client,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    pub(crate) gate: Gate,
    pub(crate) feed: Arc<Feed>,
    pub(crate) readiness: Readiness,
}

impl AdminApi {
    /// The API of that client's store, for this machine only: see [`Access`].
    ///
    /// What is disabled through it is said to be disabled by the client's holder; a
    /// [`label`](leasehold_core::ClientBuilder::label) tells people which program that is.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            access: Access::default(),
            limits: Limits::default(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Who is answered.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Ends the streams of changes when the token is cancelled, for an application's shutdown:
    /// such an answer has no end of its own, and a graceful shutdown would wait for it.
    #[must_use]
    pub fn shutdown(self, shutdown: CancellationToken) -> Self {
        Self { shutdown, ..self }
    }

    /// All of it, to be served as it is or mounted: with [`Router::nest_service`] at a path with
    /// and without a slash at the end, with [`Router::nest`] only without, where it matters to the
    /// dashboard.
    pub fn router(&self) -> Router {
        let state = self.state();
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
            .merge(original::routes())
            .fallback(async || Problem::not_found())
            .layer(middleware::from_fn_with_state(state.clone(), access::guard));
        let open = Router::new()
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready));
        finish(guarded.merge(open), state)
    }

    /// Only what the original had, to be merged into an application whose callers know its paths:
    /// `POST /api/MasterControls/disable` and `/enable`, in both spellings.
    pub fn original_router(&self) -> Router {
        let state = self.state();
        let guard = middleware::from_fn_with_state(state.clone(), access::guard);
        finish(original::routes().route_layer(guard), state)
    }

    fn state(&self) -> Arc<State> {
        let Self { client, access, limits, shutdown } = self.clone();
        Arc::new(State {
            gate: Gate::new(&limits),
            feed: Feed::new(client.clone(), &limits, shutdown),
            readiness: Readiness::default(),
            client,
            access,
            limits,
        })
    }
}

fn finish(router: Router<Arc<State>>, state: Arc<State>) -> Router {
    let limit = DefaultBodyLimit::max(state.limits.body_bytes);
    router.layer(limit).layer(middleware::from_fn(answer)).with_state(state)
}

/// Every answer says that it is not to be kept, framed or guessed at; one to a method that a path
/// does not have is a problem like any other. The page alone has a policy of its own.
async fn answer(request: Request, next: Next) -> Response {
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
