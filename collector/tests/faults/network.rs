//! What lies between sensor and collector: connections that are slow, stall or break in mid-message, and a go-between that doubles,
//! swaps and drops batches or keeps acknowledgements to itself.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto::sensor::v1::from_collector::Message as Answer;
use proto::sensor::v1::from_sensor::Message;
use proto::sensor::v1::link_client::LinkClient;
use proto::sensor::v1::link_server::{Link, LinkServer};
use proto::sensor::v1::{FromCollector, FromSensor, RenewReply, RenewRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::daemon::{Collector, PATIENCE, Place};
use crate::disk::model::Dice;
use crate::story::{Acknowledged, Story, deliver, runtime};
use crate::{is_long, telling};

/// Rounds of a short run and of a long one.
const ROUNDS: u64 = 30;
const ROUNDS_LONG: u64 = 2_000;

fn rounds() -> u64 {
    if is_long() { ROUNDS_LONG } else { ROUNDS }
}

/// What a wire does with bytes.
#[derive(Debug, Clone, Copy)]
enum Wire {
    /// Passes so many at a time, with a pause after each.
    Slow(usize),
    /// Passes so many in each direction and then no more, and stays open.
    Stalls(usize),
    /// Passes so many in each direction and closes.
    Breaks(usize),
}

/// Starts a wire to an address; answers its own.
async fn wire(to: String, wire: Wire) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&to).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(async move {
                // When one direction breaks, so does the other.
                tokio::select! {
                    () = pass(near_in, far_out, wire) => {}
                    () = pass(far_in, near_out, wire) => {}
                }
            });
        }
    });
    address
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, wire: Wire) {
    let (at_a_time, mut left) = match wire {
        Wire::Slow(bytes) => (bytes, usize::MAX),
        Wire::Stalls(bytes) | Wire::Breaks(bytes) => (4096, bytes),
    };
    let mut buffer = [0; 4096];
    while left > 0 {
        let most = at_a_time.min(left);
        let Ok(length @ 1..) = from.read(&mut buffer[..most]).await else {
            return;
        };
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        left -= length;
        if let Wire::Slow(_) = wire {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    if let Wire::Stalls(_) = wire {
        std::future::pending::<()>().await;
    }
}

/// Delivers over one wire after the other, each of which breaks, and then over none.
pub(crate) fn broken_in_mid_message() {
    let story = Story::of(40, 2_000);
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let collector = Collector::start(&place);
    let mut dice = Dice(1);
    runtime().block_on(async {
        for _ in 0..rounds() {
            let bytes = 1 + dice.below(12_000);
            let near = wire(collector.address.clone(), Wire::Breaks(bytes)).await;
            let delivered = deliver(&story, &near, &acknowledged).await;
            assert!(delivered.is_err() || acknowledged.total() == story.events());
        }
        let delivered = deliver(&story, &collector.address, &acknowledged).await;
        delivered.unwrap();
    });
    collector.stop();
    story.check(&place, &acknowledged);
}

/// Streams that stall, from the handshake on or later, hold up neither other streams nor the end.
pub(crate) fn stalled_and_slow() {
    let story = Arc::new(Story::of(12, 500));
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let collector = Collector::start(&place);
    let runtime = runtime();
    runtime.block_on(async {
        for bytes in [0, 1, 10, 100, 300, 1_000, 3_000, 10_000] {
            let near = wire(collector.address.clone(), Wire::Stalls(bytes)).await;
            let (story, acknowledged) = (story.clone(), acknowledged.clone());
            tokio::spawn(async move { deliver(&story, &near, &acknowledged).await });
        }
        // Some of it is delivered and acknowledged over those; then they stall.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let near = wire(collector.address.clone(), Wire::Slow(200)).await;
        let slowly = deliver(&story, &near, &acknowledged);
        let delivered = tokio::time::timeout(PATIENCE, slowly).await;
        delivered.expect("slow, and not for ever").unwrap();
    });
    // The stalled ones are still there.
    collector.stop();
    runtime.shutdown_background();
    story.check(&place, &acknowledged);
}

/// What a go-between does, one time in so many, with a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Mischief {
    doubles: usize,
    swaps: usize,
    drops: usize,
    /// Of acknowledgements: none is passed on.
    is_silent: bool,
}

/// A server that is a client of the collector.
#[derive(Clone)]
struct Between {
    collector: String,
    mischief: Mischief,
    dice: Arc<Mutex<Dice>>,
}

impl Between {
    /// Starts one; answers its address.
    async fn start(collector: &str, mischief: Mischief, seed: u64) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let between = Self {
            collector: format!("http://{collector}"),
            mischief,
            dice: Arc::new(Mutex::new(Dice(seed))),
        };
        let server = tonic::transport::Server::builder()
            .add_service(LinkServer::new(between))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        address
    }

    async fn happens(&self, one_in: usize) -> bool {
        one_in > 0 && self.dice.lock().await.below(one_in) == 0
    }

    /// Passes on what a sensor says.
    async fn pass(&self, mut said: Streaming<FromSensor>, to: mpsc::Sender<FromSensor>) {
        let mut held = None;
        while let Some(Ok(next)) = said.next().await {
            let mut now = Vec::new();
            if matches!(next.message, Some(Message::Batch(_))) {
                if self.happens(self.mischief.drops).await {
                    continue;
                }
                if held.is_none() && self.happens(self.mischief.swaps).await {
                    held = Some(next);
                    continue;
                }
                if self.happens(self.mischief.doubles).await {
                    now.push(next.clone());
                }
            }
            now.push(next);
            now.extend(held.take());
            for message in now {
                if to.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tonic::async_trait]
impl Link for Between {
    type DeliverStream = Pin<Box<dyn Stream<Item = Result<FromCollector, Status>> + Send>>;

    async fn deliver(
        &self,
        request: Request<Streaming<FromSensor>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        let unreachable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let mut client = LinkClient::connect(self.collector.clone())
            .await
            .map_err(unreachable)?;
        let (to, messages) = mpsc::channel(1);
        let own = self.clone();
        tokio::spawn(async move { own.pass(request.into_inner(), to).await });
        let answers = client.deliver(ReceiverStream::new(messages)).await?;
        let is_silent = self.mischief.is_silent;
        let passed_on = answers.into_inner().filter(move |answer| {
            let is_acknowledgement = (answer.as_ref())
                .is_ok_and(|answer| matches!(answer.message, Some(Answer::Persisted(_))));
            !(is_silent && is_acknowledgement)
        });
        Ok(Response::new(Box::pin(passed_on)))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        Err(Status::unimplemented("a test"))
    }
}

/// Batches that come twice, in another order, or not at all, and all of that.
pub(crate) fn doubled_swapped_and_dropped() {
    let kinds = [
        Mischief {
            doubles: 2,
            ..Mischief::default()
        },
        Mischief {
            swaps: 8,
            ..Mischief::default()
        },
        Mischief {
            drops: 8,
            ..Mischief::default()
        },
        Mischief {
            doubles: 5,
            swaps: 15,
            drops: 15,
            is_silent: false,
        },
    ];
    let story = Story::of(40, 200);
    for seed in 0..rounds() / 10 {
        for mischief in kinds {
            telling(
                || format!("{mischief:?} with seed {seed}"),
                || mischievous(&story, mischief, seed),
            );
        }
    }
}

fn mischievous(story: &Story, mischief: Mischief, seed: u64) {
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let collector = Collector::start(&place);
    let refused = runtime().block_on(async {
        let near = Between::start(&collector.address, mischief, seed).await;
        let mut refused = 0;
        while let Err(why) = within_a_while(deliver(story, &near, &acknowledged)).await {
            refused += 1;
            assert!(refused < 1_000, "it comes to no end: {why}");
        }
        refused
    });
    assert_eq!(refused > 0, mischief.swaps + mischief.drops > 0);
    collector.stop();
    story.check(&place, &acknowledged);
}

/// When the last batch is dropped nobody says anything, until the sensor loses patience.
async fn within_a_while(delivered: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let patience = Duration::from_millis(1_500);
    let ended = tokio::time::timeout(patience, delivered).await;
    ended.unwrap_or_else(|_| Err("nothing more is said".to_owned()))
}

/// What was delivered and never acknowledged is in the log once, however often it is offered again.
pub(crate) fn never_acknowledged() {
    let story = Story::of(12, 200);
    let (place, acknowledged) = (Place::new(), Acknowledged::default());
    let collector = Collector::start(&place);
    let silent = Mischief {
        is_silent: true,
        doubles: 3,
        ..Mischief::default()
    };
    runtime().block_on(async {
        for seed in 0..rounds() / 10 {
            let near = Between::start(&collector.address, silent, seed).await;
            let delivered = within_a_while(deliver(&story, &near, &acknowledged)).await;
            assert!(delivered.is_err() || acknowledged.total() == story.events());
        }
        let delivered = deliver(&story, &collector.address, &acknowledged).await;
        delivered.unwrap();
    });
    collector.stop();
    story.check(&place, &acknowledged);
}
