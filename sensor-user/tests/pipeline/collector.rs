//! A collector for tests: takes batches on loopback, keeps each event once, and does as it is told.
//!
//! **Invariant:** it checks what the contract promises as it goes: batches in order, dense numbers, equal bytes for equal
//! numbers. What does not hold panics in [`Collector::log`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::prost::Message;
use proto::sensor::v1;
use proto::sensor::v1::from_collector::Message as Say;
use proto::sensor::v1::from_sensor::Message as Heard;
use proto::sensor::v1::link_server::{Link, LinkServer};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// What the collector has made durable; outlives the collector, as a database would.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Names it.
    pub(crate) id: u8,
    /// It is of a version that knows plain batches only.
    pub(crate) plain_only: bool,
    /// Bytes that a sensor may have on the way; none when it is of a version that knows no credits.
    pub(crate) credit_bytes: Option<u64>,
    /// It takes the live epoch ahead of an earlier one.
    pub(crate) takes_lanes: bool,
    /// Of the epoch that came first it makes nothing durable after this number.
    pub(crate) holds_after: Option<u64>,
    /// Up to where it claims to hold an epoch of which it holds nothing.
    pub(crate) claims: Option<u64>,
    /// It has other events under the numbers of what earlier starts left.
    pub(crate) refuses_earlier: bool,
    /// It refuses the batch after so many of a connection, and keeps none.
    pub(crate) refuses_after: Option<usize>,
    /// First number of each batch that it refused to keep.
    pub(crate) not_kept: Vec<u64>,
    /// What there is of each epoch, in the order in which they first came.
    pub(crate) epochs: Vec<Epoch>,
    /// Batches that came again.
    pub(crate) repeated: usize,
    /// Breaches of the contract.
    pub(crate) breaches: Vec<String>,
    /// What was said of the sensor's state.
    pub(crate) heartbeats: Vec<v1::Heartbeat>,
    /// Introductions, one per connection.
    pub(crate) hellos: Vec<v1::Hello>,
    /// Connections the sensor has ended in good order.
    pub(crate) farewells: usize,
}

/// What a log has of one epoch.
#[derive(Debug, Default)]
pub(crate) struct Epoch {
    /// Names it.
    id: Vec<u8>,
    /// First sequence number that the sensor held when it last introduced itself.
    offered_from: u64,
    /// Batches by their first sequence number.
    pub(crate) batches: BTreeMap<u64, v1::Batch>,
    /// Sequence numbers that are missing.
    pub(crate) missing: u64,
}

impl Epoch {
    fn persisted(&self) -> Option<u64> {
        let last = self.batches.last_key_value();
        last.map(|(_, batch)| batch.last_seq)
    }

    /// Takes a batch in; answers what is wrong with it.
    fn take(&mut self, batch: v1::Batch, repeated: &mut usize) -> Option<String> {
        // A log that is new begins where the sensor's queue does.
        let expected = self.persisted().map_or(self.offered_from, |seq| seq + 1);
        let first = batch.first_seq;
        if let Some(known) = self.batches.get(&first) {
            *repeated += 1;
            return (*known != batch).then(|| format!("batch {first} is not what it was"));
        }
        if first < expected || first > expected && first != self.offered_from {
            return Some(format!("batch {first} where {expected} was due"));
        }
        self.missing += first - self.persisted().map_or(1, |seq| seq + 1);
        self.batches.insert(first, batch);
        None
    }
}

impl Log {
    /// A sensor introduces itself; answers up to which number there is something of its epoch, and of the live one if that has a lane.
    fn meet(&mut self, hello: v1::Hello) -> (Option<u64>, Option<u64>) {
        let epoch = self.of(&hello.epoch);
        epoch.offered_from = hello.first_unacknowledged;
        let persisted = epoch.persisted();
        let asked = hello.live_first_unacknowledged;
        let live = asked.filter(|_| self.takes_lanes).map(|first| {
            let live = self.of(&hello.live_epoch);
            live.offered_from = first;
            live.persisted().unwrap_or(0)
        });
        self.hellos.push(hello);
        (persisted.or(self.claims), live)
    }

    /// Up to where an epoch is durable.
    fn durable(&self, id: &[u8]) -> Option<u64> {
        let place = self.epochs.iter().position(|epoch| epoch.id == id)?;
        let holds = self.holds_after.filter(|_| place == 0);
        let ends = self.epochs[place]
            .batches
            .values()
            .map(|batch| batch.last_seq);
        ends.take_while(|end| holds.is_none_or(|after| *end <= after))
            .last()
    }

    fn of(&mut self, id: &[u8]) -> &mut Epoch {
        let known = self.epochs.iter().position(|epoch| epoch.id == id);
        let place = known.unwrap_or_else(|| {
            self.epochs.push(Epoch {
                id: id.to_vec(),
                ..Epoch::default()
            });
            self.epochs.len() - 1
        });
        &mut self.epochs[place]
    }

    fn take(&mut self, batch: v1::Batch) {
        let mut repeated = 0;
        let breach = self.of(&batch.epoch.clone()).take(batch, &mut repeated);
        self.repeated += repeated;
        self.breaches.extend(breach);
    }

    /// The batches of the epoch that came last, by their first sequence number.
    pub(crate) fn batches(&self) -> &BTreeMap<u64, v1::Batch> {
        static NONE: BTreeMap<u64, v1::Batch> = BTreeMap::new();
        self.epochs.last().map_or(&NONE, |epoch| &epoch.batches)
    }
}

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Says that a batch is durable as soon as it is.
    Acknowledges,
    /// Keeps batches and never says so.
    Silent,
}

/// A collector that runs.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    shared: Shared,
    manner: watch::Sender<Manner>,
    /// Of its own, so that it can be taken down with every connection.
    runtime: Option<Runtime>,
}

#[derive(Clone)]
struct Shared {
    log: Arc<Mutex<Log>>,
    changed: Arc<watch::Sender<u64>>,
    manner: watch::Receiver<Manner>,
}

impl Collector {
    /// Starts one on a port the kernel chooses.
    pub(crate) async fn start(log: Arc<Mutex<Log>>, manner: Manner) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), log, manner).await
    }

    /// Starts one where another has been.
    pub(crate) async fn start_at(
        address: SocketAddr,
        log: Arc<Mutex<Log>>,
        manner: Manner,
    ) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .spawn(TcpListener::bind(address))
            .await
            .unwrap()
            .unwrap();
        let address = listener.local_addr().unwrap();
        let (manner, said) = watch::channel(manner);
        let shared = Shared {
            log,
            changed: Arc::new(watch::channel(0).0),
            manner: said,
        };
        let service = LinkServer::new(Service(shared.clone()));
        let server = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(server);
        Self {
            address,
            shared,
            manner,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it behaves so.
    pub(crate) fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// Changes what it is like.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Log)) {
        self.shared.note(change);
    }

    /// Ends at once, with every connection, as a killed process does.
    pub(crate) async fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        // It waits for what is being dropped, and so must not hold up this runtime.
        let down = move || runtime.shutdown_timeout(Duration::from_secs(30));
        tokio::task::spawn_blocking(down).await.unwrap();
    }

    /// Waits until the log is as wanted; a test that waits for what never comes is ended by its time limit.
    pub(crate) async fn until(&self, wanted: impl Fn(&Log) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        while !wanted(&self.shared.log.lock().unwrap()) {
            changed.changed().await.unwrap();
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The payload of a batch before it was encoded; panics when its check is wrong.
pub(crate) fn unpacked(batch: &v1::Batch) -> Vec<u8> {
    let numbers = [batch.first_seq, batch.last_seq].map(u64::to_le_bytes);
    let check = crc32c::crc32c_append(crc32c::crc32c(&numbers.concat()), &batch.payload);
    assert_eq!(batch.crc32c, Some(check));
    let plain = match batch.encoding() {
        v1::Encoding::Plain => batch.payload.clone(),
        v1::Encoding::Zstd => zstd::bulk::decompress(&batch.payload, 256 * 1024).unwrap(),
        v1::Encoding::Unspecified => panic!("no encoding"),
    };
    assert!(plain.len() <= 256 * 1024 && batch.payload.len() <= plain.len());
    plain
}

/// The events of a log, in order; panics if the contract was broken.
pub(crate) fn events(log: &Mutex<Log>) -> Vec<v1::Event> {
    all_events(log).into_iter().flatten().collect()
}

/// The events of each epoch, in order; panics if the contract was broken.
pub(crate) fn all_events(log: &Mutex<Log>) -> Vec<Vec<v1::Event>> {
    let log = log.lock().unwrap();
    assert_eq!(log.breaches, Vec::<String>::new());
    let decode = |batch: &v1::Batch| {
        let block = v1::EventBlock::decode(unpacked(batch).as_slice()).unwrap();
        assert_eq!(
            block.events.len() as u64,
            batch.last_seq - batch.first_seq + 1
        );
        assert!(
            !block.host.is_empty() && block.boot_id.len() == 36,
            "{} {}",
            block.host,
            block.boot_id
        );
        block.events
    };
    let events = |epoch: &Epoch| epoch.batches.values().flat_map(decode).collect();
    log.epochs.iter().map(events).collect()
}

struct Service(Shared);

#[tonic::async_trait]
impl Link for Service {
    type DeliverStream = ReceiverStream<Result<v1::FromCollector, Status>>;

    async fn deliver(
        &self,
        request: Request<Streaming<v1::FromSensor>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        let (out, answers) = mpsc::channel(16);
        let shared = self.0.clone();
        tokio::spawn(async move { shared.converse(request.into_inner(), out).await });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn renew(
        &self,
        _: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

impl Shared {
    async fn converse(
        mut self,
        mut heard: Streaming<v1::FromSensor>,
        out: mpsc::Sender<Result<v1::FromCollector, Status>>,
    ) {
        let mut epochs: Vec<Vec<u8>> = Vec::new();
        let mut refuses = false;
        let mut came = 0;
        let window = self.log.lock().unwrap().credit_bytes;
        let mut left = window;
        // Epoch, last number and bytes of what is not durable.
        let mut way: Vec<(Vec<u8>, u64, u64)> = Vec::new();
        loop {
            let message = tokio::select! {
                message = heard.message() => message,
                Ok(()) = self.manner.changed() => {
                    if self.acknowledge(&epochs, &out).await {
                        self.grant(&mut way, &mut left, &out).await;
                    }
                    continue;
                }
            };
            let Ok(Some(message)) = message else {
                // Ok: the sensor has said all it had to say. Err: the connection broke.
                let ended = usize::from(message.is_ok());
                self.note(|log| log.farewells += ended);
                return;
            };
            match message.message.unwrap() {
                Heard::Hello(hello) => {
                    let (turn, live) = (hello.epoch.clone(), hello.live_epoch.clone());
                    refuses = live != turn && self.log.lock().unwrap().refuses_earlier;
                    let mut held = (None, None);
                    self.note(|log| held = log.meet(hello));
                    let (persisted, live_persisted) = held;
                    epochs.push(turn);
                    epochs.extend(live_persisted.map(|_| live));
                    let (id, plain_only, takes_lanes) = {
                        let log = self.log.lock().unwrap();
                        (log.id, log.plain_only, log.takes_lanes)
                    };
                    let zstd = v1::Encoding::Zstd.into();
                    let welcome = v1::Welcome {
                        log_id: vec![id; 16],
                        persisted,
                        credit_bytes: window,
                        encodings: if plain_only { vec![] } else { vec![zstd] },
                        renew_in_s: None,
                        takes_follows: false,
                        takes_lanes,
                        live_persisted,
                    };
                    say(&out, Say::Welcome(welcome)).await;
                }
                Heard::Batch(batch) if refuses && batch.epoch == epochs[0] => {
                    let status = Status::already_exists("other content");
                    out.send(Err(status)).await.ok();
                    return;
                }
                // A connection on which something was not kept takes nothing more.
                Heard::Batch(batch)
                    if came > 0 || self.log.lock().unwrap().refuses_after.is_some() =>
                {
                    came += 1;
                    let after = self.log.lock().unwrap().refuses_after;
                    self.note(|log| log.not_kept.push(batch.first_seq));
                    if came > after.unwrap_or(0) {
                        let status = Status::already_exists("other content");
                        out.send(Err(status)).await.ok();
                        return;
                    }
                }
                Heard::Batch(batch) => {
                    assert!(epochs.contains(&batch.epoch));
                    let epoch = batch.epoch.clone();
                    let (cost, seq) = (unpacked(&batch).len() as u64, batch.last_seq);
                    let short = left.is_some_and(|left| cost > left);
                    left = left.map(|left| left.saturating_sub(cost));
                    way.push((epoch.clone(), seq, cost));
                    self.note(|log| {
                        log.take(batch);
                        log.breaches
                            .extend(short.then(|| format!("batch up to {seq} has no credit")));
                    });
                    if window.is_some() {
                        say(&out, Say::Received(v1::Received { epoch, seq })).await;
                    }
                    if self.acknowledge(&epochs, &out).await {
                        self.grant(&mut way, &mut left, &out).await;
                    }
                }
                Heard::Heartbeat(beat) => self.note(|log| log.heartbeats.push(beat)),
            }
        }
    }

    /// Says what is durable, if it says so at all.
    async fn acknowledge(
        &self,
        epochs: &[Vec<u8>],
        out: &mpsc::Sender<Result<v1::FromCollector, Status>>,
    ) -> bool {
        if *self.manner.borrow() != Manner::Acknowledges {
            return false;
        }
        let mut said = false;
        for epoch in epochs {
            let seq = self.log.lock().unwrap().durable(epoch);
            if let Some(seq) = seq {
                let epoch = epoch.clone();
                say(out, Say::Persisted(v1::Persisted { epoch, seq })).await;
                said = true;
            }
        }
        said
    }

    /// Gives back what has become durable.
    async fn grant(
        &self,
        way: &mut Vec<(Vec<u8>, u64, u64)>,
        left: &mut Option<u64>,
        out: &mpsc::Sender<Result<v1::FromCollector, Status>>,
    ) {
        let log = self.log.clone();
        let is_durable = |(epoch, seq, _): &mut (Vec<u8>, u64, u64)| {
            log.lock().unwrap().durable(epoch) >= Some(*seq)
        };
        let bytes: u64 = way.extract_if(.., is_durable).map(|(.., cost)| cost).sum();
        if let Some(left) = left.as_mut().filter(|_| bytes > 0) {
            *left += bytes;
            say(out, Say::Credit(v1::Credit { bytes })).await;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.log.lock().unwrap());
        self.changed.send_modify(|n| *n += 1);
    }
}

/// A sensor that has gone hears nothing: that shows on its side.
async fn say(out: &mpsc::Sender<Result<v1::FromCollector, Status>>, message: Say) {
    out.send(Ok(v1::FromCollector {
        message: Some(message),
    }))
    .await
    .ok();
}
