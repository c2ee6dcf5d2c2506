//! TLS on both listeners, and what a plain or dripping client gets from them.

use std::time::Duration;

use martello::config::Tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Backend, Server, config, repository};

fn tls() -> Tls {
    let keys = repository().join("tests/keys");
    Tls { certificate: keys.join("tls.pem"), key: keys.join("tls.key") }
}

fn client() -> reqwest::Client {
    let certificate = std::fs::read(tls().certificate).expect("a certificate");
    let certificate = reqwest::Certificate::from_pem(&certificate).expect("PEM");
    reqwest::Client::builder().tls_certs_only([certificate]).timeout(Duration::from_secs(10)).build().expect("a client")
}

#[tokio::test]
async fn both_listeners_speak_tls_when_they_are_told_to() {
    let mut config = config(Backend::Sqlite);
    config.http.tls = Some(tls());
    config.admin.tls = Some(tls());
    let server = Server::start(config).await;
    let ask = client().get(format!("{}/v1/datasets", server.url.replace("http:", "https:")));
    let answer = ask.bearer_auth(server.token("client_pro")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    let admin = server.admin.replace("http:", "https:");
    assert_eq!(client().get(format!("{admin}/livez")).send().await.expect("an answer").status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn whoever_does_not_finish_a_handshake_is_cut() {
    let mut config = config(Backend::Sqlite);
    config.http.tls = Some(tls());
    config.http.head_timeout = Duration::from_millis(300);
    let server = Server::start(config).await;
    for opening in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        let address = server.url.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        stream.write_all(opening).await.expect("sent");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        // The end may come as a reset.
        assert!(read.is_ok(), "still open after {opening:?}");
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    server.stop().await;
}
