//! What sensors have to deliver, how they do it, and what the log must hold of it in the end: the one check of all tests here.
//!
//! **The invariant:** every acknowledged event is exactly once in the log, holes are gaps, the order of each host is kept, and the alerts
//! are those of a run that nothing disturbed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use collector::event::What;
use collector::log::LogReader;
use proto::sensor::v1::Event;
use proto::sensor::v1::event::Body;
use proto::sensor::v1::from_collector::Message as Answer;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::daemon::{Collector, PATIENCE, Place};
use crate::events::{read, theft};
use crate::sensor::{EPOCH, Sensor};

const SENSORS: [&str; 2] = ["ws-1", "ws-2"];
/// Batches a sensor has on their way at a time.
const WINDOW: usize = 4;

/// What the sensors have to tell.
pub(crate) struct Story {
    /// Batches of each sensor by their first number.
    pub(crate) batches: BTreeMap<String, BTreeMap<u64, Vec<Event>>>,
    /// The alerts of a run that nothing disturbed.
    alerts: OnceLock<Vec<serde_json::Value>>,
}

/// Up to which number each sensor was told that its events are durable, and up to which it holds nothing any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acknowledged {
    seq: Arc<Mutex<Numbers>>,
    gone: Arc<Mutex<Numbers>>,
}

/// A number of each sensor.
pub(crate) type Numbers = BTreeMap<String, u64>;

impl Acknowledged {
    pub(crate) fn of(&self, sensor: &str) -> u64 {
        self.seq.lock().unwrap().get(sensor).copied().unwrap_or(0)
    }

    /// All sensors together.
    pub(crate) fn total(&self) -> u64 {
        self.seq.lock().unwrap().values().sum()
    }

    pub(crate) fn all(&self) -> Numbers {
        self.seq.lock().unwrap().clone()
    }

    /// The log is an older one: what it held then is what counts.
    pub(crate) fn take_back(&self, held: Numbers) {
        *self.seq.lock().unwrap() = held;
    }

    /// Up to there the sensors hold nothing any more.
    pub(crate) fn give_up(&self, gone: Numbers) {
        *self.gone.lock().unwrap() = gone;
    }

    fn gone(&self, sensor: &str) -> u64 {
        self.gone.lock().unwrap().get(sensor).copied().unwrap_or(0)
    }

    fn note(&self, sensor: &str, seq: u64) {
        let mut all = self.seq.lock().unwrap();
        let known = all.entry(sensor.to_owned()).or_default();
        *known = seq.max(*known);
    }
}

impl Story {
    /// So many batches of each sensor, every fourth of them a theft; what else is read has names of so many bytes.
    pub(crate) fn of(batches: u64, name_bytes: usize) -> Self {
        let of_sensor = |number: u32, sensor: &&str| {
            let mut all = BTreeMap::new();
            let mut seq = 1;
            for batch in 0..batches {
                let second = batch * 60;
                let pid = 1000 + batch as u32;
                let events = if batch % 4 == 0 {
                    to(number, theft(second, pid))
                } else {
                    (seq..seq + 3)
                        .map(|at| named(read(second, pid, 1000 + at, at), name_bytes))
                        .collect()
                };
                let next = seq + events.len() as u64;
                all.insert(seq, events);
                seq = next;
            }
            ((*sensor).to_owned(), all)
        };
        let batches = (1..).zip(&SENSORS).map(|(n, sensor)| of_sensor(n, sensor));
        Self {
            batches: batches.collect(),
            alerts: OnceLock::new(),
        }
    }

    /// The same with a host whose clock is ten years ahead for a while, and then ten years behind.
    pub(crate) fn with_jumps(batches: u64) -> Self {
        const TEN_YEARS_NS: u64 = 3_652 * 86_400 * 1_000_000_000;
        let mut story = Self::of(batches, 0);
        let of_one = story.batches.first_entry().unwrap().into_mut();
        for (number, events) in (0..).zip(of_one.values_mut()) {
            let off = |at: u64| match number {
                5..10 => at + TEN_YEARS_NS,
                15..18 => at - TEN_YEARS_NS,
                _ => at,
            };
            for event in events {
                event.time_unix_ns = off(event.time_unix_ns);
                if let Some(Body::Access(access)) = &mut event.body {
                    access.first_unix_ns = off(access.first_unix_ns);
                    access.last_unix_ns = off(access.last_unix_ns);
                }
            }
        }
        story
    }

    /// The same up to that many batches of each sensor.
    pub(crate) fn until(&self, batches: usize) -> Self {
        let part = |all: &BTreeMap<u64, Vec<Event>>| {
            let first = all.iter().take(batches);
            first.map(|(seq, events)| (*seq, events.clone())).collect()
        };
        let batches = self.batches.iter();
        Self {
            batches: batches.map(|(id, all)| (id.clone(), part(all))).collect(),
            alerts: OnceLock::new(),
        }
    }

    /// The last number of each sensor.
    pub(crate) fn ends(&self) -> Numbers {
        let end = |all: &BTreeMap<u64, Vec<Event>>| all.last_key_value().map_or(0, last);
        let batches = self.batches.iter();
        batches.map(|(id, all)| (id.clone(), end(all))).collect()
    }

    /// Events of all sensors.
    pub(crate) fn events(&self) -> u64 {
        let sensors = self.batches.values().flat_map(BTreeMap::values);
        sensors.map(|events| events.len() as u64).sum()
    }

    /// The alerts of a run that nothing disturbs.
    fn alerts(&self) -> &[serde_json::Value] {
        self.alerts.get_or_init(|| {
            let (place, acknowledged) = (Place::new(), Acknowledged::default());
            let collector = Collector::start(&place);
            runtime()
                .block_on(deliver(self, &collector.address, &acknowledged))
                .unwrap();
            collector.stop();
            let alerts = place.alerts();
            assert!(alerts.len() >= SENSORS.len(), "{alerts:?}");
            alerts
        })
    }

    /// The invariant, once everything was delivered.
    pub(crate) fn check(&self, place: &Place, acknowledged: &Acknowledged) {
        self.check_log(&place.data, acknowledged, &BTreeMap::new());
        assert_eq!(acknowledged.total(), self.events(), "all is delivered");
        let (found, expected) = (place.alerts(), self.alerts());
        assert_eq!(found.len(), expected.len(), "number of alerts");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found, expected, "an alert of a run without faults");
        }
    }

    /// What of the invariant is about the log; `holes` are the numbers of each sensor that were given up, first to last.
    pub(crate) fn check_log(
        &self,
        data: &Path,
        acknowledged: &Acknowledged,
        holes: &BTreeMap<String, (u64, u64)>,
    ) {
        let mut next: BTreeMap<&str, u64> = SENSORS.iter().map(|sensor| (*sensor, 1)).collect();
        for stored in read_all(data) {
            let place = format!("{} at {} of the log", stored.sensor, stored.pos);
            let (sensor, batches) = self.batches.get_key_value(&*stored.sensor).unwrap();
            let due = next.get_mut(sensor.as_str()).unwrap();
            if stored.missing_before > 0 {
                let hole = (*due, *due + stored.missing_before - 1);
                assert_eq!(holes.get(sensor), Some(&hole), "a hole before {place}");
                *due += stored.missing_before;
            }
            assert_eq!(stored.first_seq, *due, "{place}");
            let expected = batches.get(due).expect("a batch that was sent");
            let block = collector::decode(&stored).unwrap();
            let found: Vec<_> = block.events.iter().map(mark_of_stored).collect();
            let expected: Vec<_> = expected.iter().map(mark_of_sent).collect();
            assert_eq!(found, expected, "{place}");
            *due += found.len() as u64;
        }
        for (sensor, next) in next {
            let acknowledged = acknowledged.of(sensor);
            assert!(
                next > acknowledged,
                "{sensor}: {acknowledged} was acknowledged, the log ends before {next}"
            );
        }
    }
}

fn read_all(data: &Path) -> Vec<collector::log::StoredBatch> {
    let log = LogReader::open(data).unwrap();
    let mut all = Vec::new();
    loop {
        let from = all
            .last()
            .map_or(0, |last: &collector::log::StoredBatch| last.pos + 1);
        let page = log.page(from).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// What tells an event from the others of a batch: its time, its kind, and of accesses the record and the bytes.
fn mark_of_stored(event: &collector::event::Event) -> (u64, &'static str, u64, u64) {
    match &event.what {
        What::Access(access) => (
            event.at_ns,
            "access",
            access.record.inode,
            access.bytes_read,
        ),
        What::Process(process) => (event.at_ns, "process", u64::from(process.key.pid), 0),
        What::Flow(flow) => (event.at_ns, "flow", 0, flow.bytes_out),
        What::Edge(_) | What::Tamper(_) | What::Gap(_) | What::Conflict(_) => {
            (event.at_ns, "other", 0, 0)
        }
    }
}

fn mark_of_sent(event: &Event) -> (u64, &'static str, u64, u64) {
    let (kind, which, bytes) = match event.body.as_ref().unwrap() {
        Body::Access(access) => {
            let record = access.record.as_ref().unwrap();
            ("access", record.inode, access.bytes_read)
        }
        Body::Process(process) => ("process", u64::from(process.id.as_ref().unwrap().pid), 0),
        Body::Flow(flow) => ("flow", 0, flow.bytes_out),
        _ => ("other", 0, 0),
    };
    (event.time_unix_ns, kind, which, bytes)
}

/// The same with a destination of a sensor's own: what one host does is then the same in whatever order the hosts come.
fn to(sensor: u32, mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let Some(Body::Flow(flow)) = &mut event.body {
            flow.name = format!("files-{sensor}.example");
            flow.remote.as_mut().unwrap().address = vec![203, 0, 113, sensor as u8];
        }
    }
    events
}

fn named(mut event: Event, bytes: usize) -> Event {
    if let Some(Body::Access(access)) = &mut event.body {
        while access.name.len() < bytes {
            access.name.push_str("0123456789abcdef");
        }
    }
    event
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// All sensors deliver what is not acknowledged yet, at the same time, until all is or one of them cannot go on.
pub(crate) async fn deliver(
    story: &Story,
    address: &str,
    acknowledged: &Acknowledged,
) -> Result<(), String> {
    let mut sensors = JoinSet::new();
    for (sensor, batches) in &story.batches {
        let (sensor, batches) = (sensor.clone(), batches.clone());
        let (address, acknowledged) = (address.to_owned(), acknowledged.clone());
        sensors.spawn(async move { one(&sensor, &batches, &address, &acknowledged).await });
    }
    let mut result = Ok(());
    while let Some(ended) = sensors.join_next().await {
        result = result.and(ended.expect("no sensor found the invariant broken"));
    }
    result
}

/// The last number of a batch.
fn last((first, events): (&u64, &Vec<Event>)) -> u64 {
    first + events.len() as u64 - 1
}

/// One sensor delivers; the error says why it cannot go on at the moment.
async fn one(
    id: &str,
    batches: &BTreeMap<u64, Vec<Event>>,
    address: &str,
    acknowledged: &Acknowledged,
) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| format!("{id}: {error}");
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let connected = endpoint.connect_timeout(PATIENCE).connect().await;
    let channel = connected.map_err(|error| said(&error))?;
    let mut sensor = Sensor::over(channel).await.map_err(|error| said(&error))?;
    let (known, gone) = (acknowledged.of(id), acknowledged.gone(id));
    sensor.hello(id, known.max(gone) + 1).await;
    let held = match sensor.answer().await {
        Ok(Some(Answer::Welcome(welcome))) => welcome.persisted.unwrap_or(0),
        other => return Err(format!("{id}: {other:?} instead of Welcome")),
    };
    assert!(
        held >= known,
        "{id}: {known} was acknowledged, the log holds {held}"
    );
    acknowledged.note(id, held);
    let end = batches.last_key_value().map_or(0, last);
    let mut to_send = batches.range(held.max(gone) + 1..);
    let mut under_way = Vec::new();
    while acknowledged.of(id) < end {
        while under_way.len() < WINDOW
            && let Some(batch) = to_send.next()
        {
            sensor.send(*batch.0, batch.1.clone()).await;
            under_way.push(last(batch));
        }
        match sensor.answer().await {
            Ok(Some(Answer::Persisted(persisted))) => {
                assert_eq!(persisted.epoch, EPOCH);
                acknowledged.note(id, persisted.seq);
                under_way.retain(|last| *last > persisted.seq);
            }
            other => return Err(format!("{id}: {other:?} instead of Persisted")),
        }
    }
    Ok(())
}
