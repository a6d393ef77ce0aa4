//! Access rules decide which requests are accepted, and refuse cross-site writes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderName, ORIGIN, VIA};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use leasehold_core::{Error, Result};
use subtle::ConstantTimeEq;

use crate::dashboard;
use crate::problem::Problem;

/// An access rule says which callers are accepted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Access {
    /// Only direct requests from this machine, by its own names, are accepted.
    ///
    /// The peer's address must be a loopback one. The application provides it by serving with
    /// `into_make_service_with_connect_info::<SocketAddr>()`; otherwise no request is accepted. The
    /// header `Host` must be `localhost` or a loopback address, so that no page of another site can
    /// reach the API by its own name (DNS rebinding).
    ///
    /// A proxy on this machine that adds no header such as `Forwarded`, `Via` or `X-Forwarded-For`,
    /// and requests `localhost` or a loopback address, looks like this machine itself: set a token
    /// if there is such a proxy.
    #[default]
    Loopback,
    /// Every caller that presents the token is accepted.
    Token(Token),
    /// Every request is accepted: the application itself checks access before the router.
    ///
    /// Cross-site writes are still refused.
    Application,
}

/// A bearer token is never printed, and the time of a comparison reveals neither where two tokens
/// differ nor how long the token is.
#[derive(Clone)]
pub struct Token(Arc<Padded>);

/// The token is padded with zeros, which it cannot contain itself.
type Padded = [u8; Token::MAX_BYTES];

fn padded(token: &[u8]) -> Option<Padded> {
    let mut padded = [0; Token::MAX_BYTES];
    padded.get_mut(..token.len())?.copy_from_slice(token);
    Some(padded)
}

impl Token {
    /// The shortest accepted token, in bytes: shorter ones can be guessed.
    pub const MIN_BYTES: usize = 16;

    /// The longest accepted token, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Creates a token from 16 to 1024 printable ASCII characters without spaces.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](leasehold_core::ErrorKind::Invalid); the message does
    /// not contain the token.
    pub fn new(token: impl AsRef<str>) -> Result<Self> {
        let token = token.as_ref().as_bytes();
        let fits = token.len() >= Self::MIN_BYTES && token.iter().all(u8::is_ascii_graphic);
        padded(token).filter(|_| fits).map(|padded| Self(Arc::new(padded))).ok_or_else(|| {
            Error::invalid("invalid token").with_fix(format!(
                "use {} to {} printable ASCII characters without spaces, such as what \
                 `openssl rand -hex 32` prints",
                Self::MIN_BYTES,
                Self::MAX_BYTES
            ))
        })
    }

    fn is_presented_in(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let Some((scheme, rest)) = value.as_bytes().split_first_chunk::<7>() else { return false };
        let Some(presented) = padded(rest) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(self.0.ct_eq(&presented))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Passes an accepted request on, and replies to any other with a problem.
pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    // The dashboard prompts for the token, and shows nothing without it.
    if matches!(access, Access::Token(_)) && dashboard::is_requested(&request) {
        return next.run(request).await;
    }
    let admitted = admit(&access, peer, request.uri(), request.headers()).and_then(|()| {
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        if reads { Ok(()) } else { refuse_cross_site(request.uri(), request.headers()) }
    });
    match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn admit(
    access: &Access,
    peer: Option<IpAddr>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    match access {
        Access::Application => Ok(()),
        Access::Token(token) if token.is_presented_in(headers) => Ok(()),
        Access::Token(_) => Err(Problem::unauthorized()),
        Access::Loopback => {
            if !peer.is_some_and(is_loopback) || is_forwarded(headers) {
                return Err(Problem::forbidden(
                    "without a token, only direct local requests are accepted",
                ));
            }
            if !authority(uri, headers).is_some_and(|name| names_loopback(name.host())) {
                return Err(Problem::forbidden(
                    "without a token, the Host must be localhost, 127.0.0.1 or [::1]",
                ));
            }
            Ok(())
        }
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Returns whether a header shows that a proxy forwarded the request. A proxy that adds no header
/// cannot be detected.
fn is_forwarded(headers: &HeaderMap) -> bool {
    const OTHERS: [&str; 4] = ["x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"];
    let names_one = |name: &HeaderName| {
        [FORWARDED, VIA].contains(name)
            || name.as_str().starts_with("x-forwarded-")
            || OTHERS.contains(&name.as_str())
    };
    headers.keys().any(names_one)
}

fn names_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

/// Returns the host to which the request is addressed; `None` if it has no host or two different
/// ones.
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let host: Option<Authority> = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.as_bytes().try_into().ok()?),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    match (uri.authority().cloned(), host) {
        (Some(target), Some(host)) => (target == host).then_some(host),
        (target, host) => target.or(host),
    }
}

/// Refuses a request from a page of another site. Browsers send the origin in one of two headers;
/// programs send neither.
fn refuse_cross_site(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = || Err(Problem::forbidden("cross-site write refused"));
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if !sites.all(|site| site == "same-origin" || site == "none") {
        return refused();
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let own = authority(uri, headers);
    let same = |origin: &axum::http::HeaderValue| {
        let origin: Option<Uri> = origin.as_bytes().try_into().ok();
        let web = origin
            .as_ref()
            .is_some_and(|origin| matches!(origin.scheme_str(), Some("http" | "https")));
        web && own.is_some() && origin.as_ref().and_then(Uri::authority) == own.as_ref()
    };
    if origins.all(same) { Ok(()) } else { refused() }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    const LOCALHOST: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[test]
    fn a_partial_token_is_refused() {
        let token = Token::new("0123456789abcdef").unwrap();
        let accepts = |value| token.is_presented_in(&headers(&[("authorization", value)]));
        assert!(accepts("Bearer 0123456789abcdef") && accepts("bearer 0123456789abcdef"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789abcdeg",
            "Bearer  0123456789abcdef",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!accepts(wrong), "{wrong}");
        }
        let twice = ("authorization", "Bearer 0123456789abcdef");
        assert!(!token.is_presented_in(&headers(&[twice, twice])));
        assert!(!token.is_presented_in(&headers(&[])));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_guessable_token_is_refused() {
        for bad in ["", "short", "0123456789abcde\n", "0123456789 abcdef", &"x".repeat(1025)] {
            let error = Token::new(bad).unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn without_a_token_only_loopback_hosts_are_accepted() {
        let uri = Uri::from_static("/v1/locks");
        let admitted =
            |peer, pairs: &[_]| admit(&Access::Loopback, peer, &uri, &headers(pairs)).is_ok();
        for host in ["localhost", "LOCALHOST:7475", "127.0.0.1:7475", "127.9.9.9", "[::1]:1"] {
            assert!(admitted(LOCALHOST, &[("host", host)]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", ""] {
            assert!(!admitted(LOCALHOST, &[("host", host)]), "{host}");
        }
        let host = ("host", "localhost");
        assert!(!admitted(None, &[host]), "the peer is unknown");
        assert!(!admitted("10.0.0.1".parse().ok(), &[host]), "the peer is remote");
        assert!(admitted("::ffff:127.0.0.1".parse().ok(), &[host]), "the address is IPv4-mapped");
        assert!(!admitted(LOCALHOST, &[]), "there is no host");
        assert!(!admitted(LOCALHOST, &[host, ("host", "evil.example")]), "there are two hosts");
        for by in ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            assert!(!admitted(LOCALHOST, &[host, (by, "10.0.0.1")]), "through a proxy: {by}");
        }
        let absolute = Uri::from_static("http://evil.example/v1/locks");
        assert!(admit(&Access::Loopback, LOCALHOST, &absolute, &headers(&[host])).is_err());
    }

    #[test]
    fn cross_site_writes_are_refused() {
        let uri = Uri::from_static("/v1/locks/a/enable");
        let refused = |pairs: &[(&'static str, &'static str)]| {
            let pairs = [&[("host", "localhost:7475")], pairs].concat();
            refuse_cross_site(&uri, &headers(&pairs)).is_err()
        };
        assert!(!refused(&[]));
        assert!(!refused(&[("sec-fetch-site", "same-origin")]));
        assert!(!refused(&[("origin", "http://localhost:7475")]));
        for site in ["cross-site", "same-site", "else"] {
            assert!(refused(&[("sec-fetch-site", site)]), "{site}");
        }
        for origin in
            ["null", "", "http://evil.example", "http://localhost:80", "file://localhost:7475"]
        {
            assert!(refused(&[("origin", origin)]), "{origin}");
        }
    }
}
