//! This example shows an application's own web server, with Leasehold's control API mounted in it.
//!
//!     cargo run -p leasehold-examples --features http --example http_control
//!     curl http://localhost:3000/leasehold/v1/locks/greeter
//!     curl -N http://localhost:3000/leasehold/v1/events
//!     curl -H 'Content-Type: application/json' -d '{"reason":"deploy"}' \
//!         http://localhost:3000/leasehold/v1/locks/greeter/resign
//!
//! Without a token, only local requests are accepted. With `CONTROL_TOKEN`, every caller that
//! presents it is accepted: `curl -H "Authorization: Bearer $CONTROL_TOKEN" …`.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use leasehold::{Client, Leadership, MemoryStore, job_fn};
use leasehold_admin::{Access, AdminApi, Token};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Use the store of your application here.
    let client = Client::builder(Arc::new(MemoryStore::new())).label("http_control").build()?;
    let greeter = client.election("greeter")?.spawn(job_fn(|leadership: Leadership| async move {
        println!("term {} begins", leadership.token());
        while leadership.is_held() {
            tokio::select! {
                () = leadership.cancelled() => break,
                () = tokio::time::sleep(Duration::from_secs(5)) => println!("hello"),
            }
        }
        println!("term {} ends", leadership.token());
        Ok(())
    }));

    let access = match std::env::var("CONTROL_TOKEN") {
        Ok(token) => Access::Token(Token::new(token)?),
        Err(_) => Access::Loopback,
    };
    let shutdown = CancellationToken::new();
    let control = AdminApi::new(client).access(access).shutdown(shutdown.clone());
    let app = Router::new()
        .route("/", get(async || "the application's own page\n"))
        .nest("/leasehold", control.router());

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    // The API checks the address of the caller.
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let interrupted = async move {
        let _ = tokio::signal::ctrl_c().await;
        // This ends the event streams; other open requests are finished.
        shutdown.cancel();
    };
    axum::serve(listener, service).with_graceful_shutdown(interrupted).await?;
    greeter.shutdown().await;
    Ok(())
}
