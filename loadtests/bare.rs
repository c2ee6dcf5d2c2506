//! The limit of `loadtests/hot.py`: a bare axum server that returns one prebuilt body, and 304 to who has its tag; with the
//! URL of a Redis it gets the body from there for each request.
//!
//! `bare PORT FILE ETAG CONTENT_TYPE [REDIS]`

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deadpool_redis::redis;
use deadpool_redis::redis::aio::MultiplexedConnection;

#[derive(Clone)]
struct Page {
    body: Bytes,
    etag: HeaderValue,
    content_type: HeaderValue,
    redis: Option<MultiplexedConnection>,
}

/// Where the body is in Redis.
const KEY: &str = "bare";

async fn page(State(page): State<Page>, headers: HeaderMap) -> Response {
    if headers.get(header::IF_NONE_MATCH) == Some(&page.etag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, page.etag)]).into_response();
    }
    let body = match page.redis {
        None => page.body,
        Some(mut redis) => {
            let got: Vec<u8> = redis::cmd("GET").arg(KEY).query_async(&mut redis).await.expect("a value");
            got.into()
        }
    };
    ([(header::ETAG, page.etag), (header::CONTENT_TYPE, page.content_type)], body).into_response()
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, file, etag, content_type, rest @ ..] = arguments.as_slice() else {
        panic!("bare PORT FILE ETAG CONTENT_TYPE [REDIS]")
    };
    let text = |text: &String| HeaderValue::try_from(text).expect("a header's text");
    let body: Bytes = std::fs::read(file).expect("a file").into();
    let mut redis = None;
    if let Some(url) = rest.first() {
        let client = redis::Client::open(url.as_str()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a Redis");
        redis::cmd("SET").arg(KEY).arg(body.as_ref()).query_async::<()>(&mut connection).await.expect("set");
        redis = Some(connection);
    }
    let page_of_all = Page { body, etag: text(etag), content_type: text(content_type), redis };
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    let accepting = tokio::net::TcpListener::bind(address).await.expect("a free port");
    let router = Router::new().fallback(page).with_state(page_of_all);
    loop {
        let (stream, _) = accepting.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service),
        );
    }
}
