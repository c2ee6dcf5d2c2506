//! Accepts connections: with a limit on their number, a deadline on each head, TLS where it is configured, and a drain
//! that finishes what was accepted. `axum::serve` has none of these deadlines.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower::Service;

use super::patience::Patient;
use crate::config;

/// hyper itself cuts a head here, without a body; the guard's own, lower limit answers with a problem.
const HEAD_BUFFER_BYTES: usize = 128 * 1024;
/// Likewise for the number of headers.
const HEADERS_MAX: usize = 256;
/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 128;
/// After a failed accept (too many open files, say) the next try waits, or the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not ours.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A PEM file holds nothing usable.
    #[error("read {}", path.display())]
    Pem {
        /// Which one.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: tokio_rustls::rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not fit.
    #[error("set up TLS")]
    Tls(#[source] tokio_rustls::rustls::Error),
}

/// A bound address that does not accept yet.
pub(super) struct Bound {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections: Arc<Semaphore>,
    head_timeout: Duration,
    write_timeout: Duration,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// What a listener serves.
pub(super) trait Routes:
    Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<R> Routes for R where
    R: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl Bound {
    pub(super) async fn bind(
        address: SocketAddr,
        tls: Option<&config::Tls>,
        connections_max: usize,
        limits: &config::Http,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address, source };
        let tls = tls.map(acceptor).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let connections = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        let (head_timeout, write_timeout) = (limits.head_timeout, limits.write_timeout);
        Ok(Self { listener, tls, connections, head_timeout, write_timeout, address })
    }

    /// Serves until told to stop, then lets what was accepted finish.
    pub(super) async fn serve<R: Routes>(self, router: R, mut stop: watch::Receiver<bool>, drain: Duration) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                // An error means that the sender is gone, which is as good a reason to stop.
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (stream, permit) = accepted;
            let stream = Patient::new(stream, self.write_timeout);
            let tls = self.tls.clone();
            let router = router.clone();
            let head_timeout = self.head_timeout;
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _permit = permit;
                match tls {
                    None => http1_connection(stream, router, head_timeout, watcher).await,
                    Some(tls) => {
                        // A handshake is a head too: whoever drips it is cut.
                        let Ok(Ok(stream)) = tokio::time::timeout(head_timeout, tls.accept(stream)).await else {
                            return;
                        };
                        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                            http2_connection(stream, router, head_timeout, watcher).await;
                        } else {
                            http1_connection(stream, router, head_timeout, watcher).await;
                        }
                    }
                }
            });
        }
        drop(self.listener);
        if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!(seconds = drain.as_secs(), "requests were still under way when the drain ended");
        }
    }

    async fn accept(&self) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else {
                // The semaphore is never closed.
                std::future::pending::<()>().await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Small answers go out at once. A socket that refuses the option still serves.
                    let _ = stream.set_nodelay(true);
                    return (stream, permit);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn http1_connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, R: Routes>(
    stream: S,
    router: R,
    head_timeout: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BUFFER_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A connection that breaks is the client's affair; what failed inside it was answered and logged.
    let _ = watcher.watch(connection).await;
}

async fn http2_connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, R: Routes>(
    stream: S,
    router: R,
    head_timeout: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(head_timeout)
        .keep_alive_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = watcher.watch(connection).await;
}

fn acceptor(config: &config::Tls) -> Result<TlsAcceptor, Error> {
    let pem = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| Error::Pem { path, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&config.certificate)
        .and_then(Iterator::collect)
        .map_err(pem(&config.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(pem(&config.key))?;
    let mut server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).map_err(Error::Tls)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}
