//! These tests use TLS.

use std::fs;
use std::sync::Arc;

use leasehold_admin::Tls;
use leasehold_core::MemoryStore;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{TestServer, exchange};

#[tokio::test]
async fn a_tls_server_refuses_plain_http() {
    let folder = tempfile::tempdir().unwrap();
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&cert_file, cert.pem()).unwrap();
    fs::write(&key_file, signing_key.serialize_pem()).unwrap();
    let tls = Tls::from_pem_files(&cert_file, &key_file).unwrap();
    let server = TestServer::on(Arc::new(MemoryStore::new()), |api| api, Some(tls)).await;

    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, server.connect().await).await.unwrap();
    let request = "GET /v1/locks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    exchange(stream, request).await.ok();
    assert_ne!(server.raw("").await.status, 200);
}

#[test]
fn invalid_certificate_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.pem");
    let error = Tls::from_pem_files(&file, &file).unwrap_err().to_string();
    assert!(error.contains("file.pem") && error.contains("cannot read"), "{error}");
    fs::write(&file, "nothing").unwrap();
    let error = Tls::from_pem_files(&file, &file).unwrap_err();
    assert!(error.is_invalid() && error.to_string().contains("no certificate"), "{error}");
}
