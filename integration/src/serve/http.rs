//! HTTP/1 and HTTP/2, without TLS, on one connection.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;

use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;

use super::stream::{Hangup, Stream};

/// Body of every answer; an error in it cuts the connection.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// Serves one connection to its end, upgrades included. `answer` may end it rudely by the hangup that it is given.
pub(crate) async fn http<F, A>(tcp: TcpStream, answer: F)
where
    F: Fn(Arc<Hangup>, Request<Incoming>) -> A,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let hangup = Arc::new(Hangup::default());
    let stream = TokioIo::new(Stream::new(tcp, Arc::clone(&hangup)));
    let service = service_fn(|request| {
        let answer = answer(Arc::clone(&hangup), request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let builder = Builder::new(TokioExecutor::new());
    let served = builder.serve_connection_with_upgrades(stream, service);
    tokio::select! {
        // How a connection ends is the peer's affair.
        ended = served => drop(ended),
        () = hangup.wanted() => {}
    }
}
