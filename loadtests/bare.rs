//! The limit of `loadtests/hot.py`: a bare axum server that returns one prebuilt body, and 304 to who has its tag.
//!
//! `bare PORT FILE ETAG CONTENT_TYPE`

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

#[derive(Clone)]
struct Page {
    body: Bytes,
    etag: HeaderValue,
    content_type: HeaderValue,
}

async fn page(State(page): State<Page>, headers: HeaderMap) -> Response {
    if headers.get(header::IF_NONE_MATCH) == Some(&page.etag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, page.etag)]).into_response();
    }
    ([(header::ETAG, page.etag), (header::CONTENT_TYPE, page.content_type)], page.body).into_response()
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, file, etag, content_type] = arguments.as_slice() else { panic!("bare PORT FILE ETAG CONTENT_TYPE") };
    let text = |text: &String| HeaderValue::try_from(text).expect("a header's text");
    let body = std::fs::read(file).expect("a file").into();
    let page_of_all = Page { body, etag: text(etag), content_type: text(content_type) };
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
