//! The gRPC server around the service: one listener, idle connections asked whether they live, a clean end.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

use super::Ingest;

/// How often an idle connection is asked whether the sensor is still there, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams of one connection. A sensor needs one; a second may overlap with it while it reconnects.
const STREAMS_PER_CONNECTION: u32 = 4;

/// Serves until `stopping` turns true and the streams have ended.
///
/// # Errors
///
/// Whatever makes the listener or the HTTP/2 layer end before that.
pub async fn serve(
    listener: TcpListener,
    service: Ingest,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let stop = async move {
        // An error means that the collector was dropped, which is as good a reason.
        if stopping.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("the collector was dropped");
        }
    };
    tonic::transport::Server::builder()
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(service.into_server())
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop)
        .await
}
