//! This module starts PostgreSQL behind PgBouncer.

use leasehold_core::Result;

use super::catalog::POSTGRES;
use super::{Image, Server};

/// PostgreSQL and PgBouncer run in one container, if the image has both. One argument follows: the
/// pooler's settings, separated by spaces.
pub const IMAGE: Image = Image {
    port: 6432,
    command: &[
        "sh",
        "-c",
        "printf '[databases]\\n* = host=/tmp user=postgres\\n[pgbouncer]\\n\
         listen_addr=*\\nlisten_port=6432\\nauth_type=any\\nunix_socket_dir=\\n' > /tmp/pooler.ini; \
         for setting in $0; do echo $setting >> /tmp/pooler.ini; done; \
         install -d -o postgres /tmp/data; \
         runuser -u postgres -- initdb -D /tmp/data -U postgres -A trust -E UTF8 --no-sync; \
         runuser -u postgres -- postgres -D /tmp/data -k /tmp -c listen_addresses= \
         -c shared_preload_libraries=pg_stat_statements & \
         exec runuser -u postgres -- pgbouncer /tmp/pooler.ini",
    ],
    ..POSTGRES
};

/// The pooler ignores a setting that sqlx sends by default, and has a session for each connection of
/// a test, so that none waits for a session. While the server starts, it tries again every second.
const TRANSACTION_MODE: &str = "pool_mode=transaction max_prepared_statements=100 \
                                default_pool_size=20 server_login_retry=1 \
                                ignore_startup_parameters=extra_float_digits";

/// Starts the server with PgBouncer in transaction mode. If the tests use a server that already runs,
/// or an image without PgBouncer, this prints so and returns `None`.
///
/// # Errors
/// Returns the errors of [`Server::start`].
pub async fn start_in_transaction_mode() -> Result<Option<Server>> {
    if POSTGRES.given_url().is_some() {
        eprintln!("pgbouncer: skipped, because the URL of a server is given");
        return Ok(None);
    }
    // Without PgBouncer the container would end at once.
    if !Server::start(&POSTGRES).await?.has("pgbouncer").await? {
        eprintln!("pgbouncer: skipped, because the image does not have it");
        return Ok(None);
    }
    Server::start_with(&IMAGE, &[TRANSACTION_MODE]).await.map(Some)
}
