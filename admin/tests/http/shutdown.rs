//! A server ends cleanly.

use tokio::net::TcpStream;

use crate::events::Events;
use crate::support::TestServer;

#[tokio::test]
async fn shutdown_ends_streams_and_idle_connections() {
    let server = TestServer::new().await;
    let mut events = Events::follow(&server, "").await;
    assert_eq!(events.next().await.unwrap().0, "complete");
    let address = server.address;
    let idle = TcpStream::connect(address).await.unwrap();
    server.shut_down().await;
    assert!(events.next().await.is_none());
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}
