//! What is usual, and what is not: bulk reading, places nobody had sent to, and what leaves little by little.

use super::{SHELL, THIEF, at, block, config, event, family, flow, process, read};
use crate::alerts::form::AlertForm;
use crate::config::{ApprovedWay, BaselineConfig, DetectConfig, Keeper, Relearn};
use crate::detect::baseline::{Baseline, DAY_NS, day};
use crate::detect::recall::{Known, Telling, recall};
use crate::detect::{Alert, Detector};
use crate::event::{Block, Edge, EdgeKind, End, Event, ProcessKey, What};

const DAY: u64 = DAY_NS / 1_000_000_000;
/// The events of `tests` begin at this second of their day.
const OF_DAY: u64 = (super::START / 1_000_000_000) % DAY;
const _: () = assert!(OF_DAY + 60 < DAY);

/// So many days after the beginning, at the same time.
fn on(days: u64) -> u64 {
    days * DAY
}

fn reads(second: u64, first: u64, count: u64) -> Vec<Event> {
    (first..first + count)
        .map(|record| read(second, record, 10))
        .collect()
}

/// A program reads so many new records every day for so many days.
fn habit(days: u64, records: u64) -> Vec<Event> {
    let days = (0..days).flat_map(|day| reads(on(day), day * records, records));
    family().into_iter().chain(days).collect()
}

fn run(config: DetectConfig, blocks: Vec<Vec<Event>>) -> Vec<Alert> {
    let mut detector = Detector::new(config);
    let found = blocks.into_iter().map(block);
    found.flat_map(|block| detector.block(&block)).collect()
}

fn bulk(alerts: &[Alert]) -> Vec<(u32, u64)> {
    let bulk = alerts.iter().filter(|alert| alert.pattern == "bulk");
    bulk.map(|alert| (alert.revision, alert.figures.records))
        .collect()
}

#[test]
fn far_more_than_on_any_day_before_is_an_alert_that_grows() {
    let usual = habit(8, 200);
    let today = |count| reads(on(8), 10_000, count);
    let count = |more: Vec<Vec<Event>>| bulk(&run(config(), [vec![usual.clone()], more].concat()));
    assert_eq!(count(vec![today(600)]), [], "three times as much is usual");
    assert_eq!(count(vec![today(601)]), [(1, 601)]);
    let later = reads(on(8) + 60, 20_000, 601);
    assert_eq!(count(vec![today(601), later]), [(1, 601), (2, 1_202)]);
    let few = run(config(), vec![habit(8, 10), reads(on(8), 10_000, 499)]);
    assert_eq!(bulk(&few), [], "few records are never many");
    let alert = &run(config(), vec![habit(8, 10), reads(on(8), 10_000, 500)])[0];
    assert!(alert.destination.is_none() && alert.story.contains("500 patient records"));
    assert_eq!(alert.techniques[0].id, "T1119");
    let finding = crate::sink::ocsf::finding(alert).unwrap();
    assert!(
        finding.contains("are read in bulk on ws-12.ward"),
        "{finding}"
    );
    let mut page = Vec::new();
    crate::console::show(&mut page, &AlertForm::from(alert), None).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(!page.contains("wiped") && page.contains("◄ read"), "{page}");
}

/// A viewer that is never ended reads the same records day after day: each day is counted by itself, as is what it reads on a new one.
#[test]
fn a_process_that_runs_for_weeks_is_counted_by_day() {
    let same = |days: u64, records: u64| {
        let days = (0..days)
            .flat_map(|day| [reads(on(day), 0, records), reads(on(day) + 30, 0, records)].concat());
        vec![family().into_iter().chain(days).collect::<Vec<Event>>()]
    };
    let mut detector = Detector::new(config());
    let found: Vec<Alert> = same(9, 300)
        .into_iter()
        .flat_map(|one| detector.block(&block(one)))
        .collect();
    assert_eq!(bulk(&found), []);
    let (_, habits) = detector.learned().0.hosts().next().unwrap();
    let counted: Vec<u64> = habits
        .reads
        .values()
        .flatten()
        .map(|day| day.records)
        .collect();
    assert_eq!(counted, [300; 9], "not 300 on the first day and none later");
    let today = |count| vec![reads(on(9), 0, count)];
    assert_eq!(
        bulk(&run(config(), [same(9, 300), today(900)].concat())),
        []
    );
    assert_eq!(
        bulk(&run(config(), [same(9, 300), today(901)].concat())),
        [(1, 901)]
    );
    let ends = vec![
        reads(on(9), 0, 901),
        reads(on(9) + 1, 901, 99),
        vec![super::exit(on(9) + 2)],
    ];
    let told = bulk(&run(config(), [same(9, 300), ends].concat()));
    assert_eq!(told, [(1, 901), (2, 1_000)], "most of the day is its own");
}

#[test]
fn the_figures_are_whole_when_who_read_most_of_it_has_ended() {
    let today = [reads(on(8), 10_000, 650), vec![super::exit(on(8) + 9)]].concat();
    let split = |at: usize| [habit(8, 10), today[..at].to_vec(), today[at..].to_vec()];
    assert_eq!(
        bulk(&run(config(), split(550).to_vec())),
        [(1, 550), (2, 650)]
    );
    assert_eq!(
        bulk(&run(config(), split(650).to_vec())),
        [(1, 650)],
        "no news"
    );
}

#[test]
fn a_host_that_is_new_is_silent_and_so_is_one_that_learns_anew() {
    assert_eq!(
        bulk(&run(
            config(),
            vec![habit(6, 10), reads(on(6), 10_000, 900)]
        )),
        []
    );
    let relearn = |sensor: Option<&str>| DetectConfig {
        baseline: BaselineConfig {
            relearn: vec![Relearn {
                sensor: sensor.map(str::to_owned),
                since_day: day(at(on(3))),
            }],
            ..BaselineConfig::default()
        },
        ..config()
    };
    let blocks = || vec![habit(8, 10), reads(on(8), 10_000, 900)];
    assert_eq!(bulk(&run(relearn(None), blocks())), []);
    assert_eq!(bulk(&run(relearn(Some("another")), blocks())).len(), 1);
}

#[test]
fn who_keeps_the_store_or_sends_it_on_an_approved_way_may_read_it_whole() {
    let keeper = Keeper {
        name: "scanner".into(),
        store: "pacs".into(),
        executable: "/usr/bin/curl".into(),
        user: "anna".into(),
    };
    let way = ApprovedWay {
        name: "backup".into(),
        store: "pacs".into(),
        executable: "/usr/bin/ssh".into(),
        reader: Some("/usr/bin/curl".into()),
        user: "anna".into(),
        destination: "192.0.2.1/32".parse().unwrap(),
        schedule: None,
        bytes_max: None,
    };
    let blocks = || vec![habit(8, 10), reads(on(8), 10_000, 900)];
    let with = |keepers: Vec<Keeper>, approved| DetectConfig {
        approved,
        keepers,
        ..config()
    };
    assert_eq!(bulk(&run(with(vec![keeper], vec![]), blocks())), []);
    assert_eq!(bulk(&run(with(vec![], vec![way]), blocks())), []);
}

/// A viewer that is new on a host is held against what it reads on the others, if it does on enough of them.
#[test]
fn a_program_that_is_new_on_a_host_is_held_against_the_fleet() {
    let of = |sensor: &str, events: Vec<Event>| {
        let mut one = block(events);
        one.origin.sensor = sensor.into();
        one
    };
    let found = |others: &[u64], today: u64| {
        let mut detector = Detector::new(config());
        let mut alerts = Vec::new();
        for (number, records) in others.iter().enumerate() {
            alerts.extend(detector.block(&of(&format!("ws-{number}"), habit(8, *records))));
        }
        alerts.extend(detector.block(&of(
            "new",
            vec![process(super::ROOT, None, "/sbin/init"), read(0, 1, 0)],
        )));
        let first = [family(), reads(on(8), 10_000, today)].concat();
        alerts.extend(detector.block(&of("new", first)));
        assert!(alerts.iter().all(|alert| &*alert.origin.sensor == "new"));
        alerts
    };
    assert_eq!(bulk(&found(&[400, 300, 200], 900)), []);
    assert_eq!(bulk(&found(&[400, 300, 200], 901)), [(1, 901)]);
    assert_eq!(
        bulk(&found(&[4_000, 10, 10], 600)),
        [(1, 600)],
        "one that reads much is not usual"
    );
    assert_eq!(
        bulk(&found(&[400, 300], 600)),
        [(1, 600)],
        "two are no fleet"
    );
    let reasons = found(&[400, 300, 200], 901)[0].severity.reasons.join(" ");
    assert!(
        reasons.contains("reads 300 records on its fullest day"),
        "{reasons}"
    );
}

/// A process of its own reads a record of 20 kB and sends most of it.
fn part(number: u32, second: u64) -> Vec<Event> {
    let key = ProcessKey {
        pid: 5_000 + number,
        start_cs: 7,
    };
    let mut events = vec![
        process(key, Some(SHELL), "/usr/bin/curl"),
        read(second, 100 + u64::from(number), 20_000),
        sent_by(second, 18_000, u64::from(number)),
    ];
    for event in &mut events {
        match &mut event.what {
            What::Access(access) => access.process = key,
            What::Flow(flow) => flow.process = key,
            _ => {}
        }
    }
    events
}

fn sent_by(second: u64, bytes: u64, id: u64) -> Event {
    let mut flow = flow(second, bytes, true);
    flow.id = id;
    flow.opened_ns = at(second);
    event(at(second), What::Flow(flow))
}

fn slow(alerts: &[Alert]) -> Vec<(u32, u64)> {
    let slow = alerts.iter().filter(|alert| alert.pattern == "slow");
    slow.map(|alert| (alert.revision, alert.figures.bytes_sent))
        .collect()
}

#[test]
fn small_parts_by_many_programs_over_days_are_added_up() {
    let parts = |each: u64, count: u32| {
        let parts = (0..count).map(|number| part(number, u64::from(number) * each));
        [vec![family()], parts.collect()].concat()
    };
    assert_eq!(slow(&run(config(), parts(DAY, 3))), []);
    let found = run(config(), parts(DAY, 8));
    assert_eq!(slow(&found), [(1, 4 * 18_000), (2, 8 * 18_000)]);
    assert!(
        found.iter().all(|alert| alert.pattern == "slow"),
        "each is too little by itself"
    );
    let (first, last) = (&found[0], &found[1]);
    assert_eq!(first.id, last.id);
    let named = |alert: &Alert| alert.techniques.iter().any(|one| one.id == "T1029");
    assert!(named(last) && last.story.contains("in small parts"));
    let at_once = run(config(), parts(1, 4));
    assert_eq!(slow(&at_once).len(), 1);
    assert!(!named(&at_once[0]), "all on one day");
    assert_eq!(
        slow(&run(config(), parts(5 * DAY, 6))),
        [],
        "too slow for the days added up"
    );
}

/// One program sends each record to another port: little to each, all together.
#[test]
fn what_is_scattered_over_many_places_is_added_up() {
    let scattered = |sent: u64| -> Vec<Vec<Event>> {
        let each = (1..=40_u64).map(|number| {
            let mut there = sent_by(2 + number, sent, number);
            if let What::Flow(flow) = &mut there.what {
                flow.remote.set_port(20_000 + number as u16);
            }
            vec![read(2 + number, number, 9_000), there]
        });
        [vec![family()], each.collect()].concat()
    };
    let found = run(config(), scattered(9_000));
    assert_eq!(
        slow(&found),
        [(1, 8 * 9_000), (2, 16 * 9_000), (3, 32 * 9_000)]
    );
    let figures = found[2].figures;
    assert_eq!(
        (figures.records, figures.bytes_read),
        (32, 32 * 9_000),
        "each record counts once"
    );
    assert!(found.iter().all(|alert| alert.pattern == "slow"));
    // Much that goes to many places after little was read is no more than that.
    let little = |sent: u64| -> Vec<Vec<Event>> {
        let events = scattered(sent).into_iter().flatten();
        let once = events.filter(|one| match &one.what {
            What::Access(access) => access.record.inode <= 4,
            _ => true,
        });
        once.map(|one| vec![one]).collect()
    };
    assert_eq!(slow(&run(config(), little(9_000))), []);
    // A word about each record to a place of its own is not the records.
    let read_all = vec![[family(), vec![read(1, 999, 9_000_000)]].concat()];
    assert_eq!(
        slow(&run(config(), [read_all, scattered(3_000)].concat())),
        []
    );
}

/// A report about all records is small against them, every day anew; a part of what was read once is not, in the end.
#[test]
fn what_is_small_against_what_was_read_does_not_leak() {
    let each_day = |read_bytes: u64, sent_bytes: u64, days: u64| -> Vec<Vec<Event>> {
        let daily = (0..days).map(|day| {
            let mut events = part(day as u32, on(day));
            for event in &mut events {
                match &mut event.what {
                    What::Access(access) => access.bytes_read = read_bytes,
                    What::Flow(flow) => flow.bytes_out = sent_bytes,
                    _ => {}
                }
            }
            events
        });
        [vec![family()], daily.collect()].concat()
    };
    assert_eq!(slow(&run(config(), each_day(400_000, 10_000, 12))), []);
    let once = |days: u64| -> Vec<Vec<Event>> {
        let more = (1..=days).map(|day| vec![sent_by(on(day), day * 10_000, 1)]);
        let read = [family(), vec![read(0, 1, 1_000_000)]].concat();
        [vec![read], more.collect()].concat()
    };
    assert_eq!(slow(&run(config(), once(6))), []);
    assert_eq!(slow(&run(config(), once(7))), [(1, 70_000)]);
}

#[test]
fn what_an_alert_or_an_approved_way_is_about_does_not_leak() {
    let approved = DetectConfig {
        approved: vec![ApprovedWay {
            name: "usual".into(),
            store: "pacs".into(),
            executable: "/usr/bin/curl".into(),
            reader: None,
            user: "anna".into(),
            destination: "203.0.113.9/32".parse().unwrap(),
            schedule: None,
            bytes_max: None,
        }],
        ..config()
    };
    let parts = || -> Vec<Vec<Event>> {
        let parts = (0..8).map(|number| part(number, u64::from(number)));
        [vec![family()], parts.collect()].concat()
    };
    let mut detector = Detector::new(approved);
    let found = parts().into_iter().map(block);
    assert!(found.flat_map(|one| detector.block(&one)).next().is_none());
    assert_eq!(detector.learned().0.ways["usual"].days, [day(at(0))]);
    let theft = run(config(), vec![super::theft()]);
    assert_eq!(slow(&theft), []);
    assert_eq!(theft[0].pattern, "direct");
}

/// A pipe of two programs a day, all of one session: each day has readers and senders of its own.
#[test]
fn what_a_session_hands_on_every_day_is_added_up() {
    let daily = |day: u64| {
        let [reader, sender] = [0, 1].map(|number| ProcessKey {
            pid: 6_000 + day as u32 * 2 + number,
            start_cs: 7,
        });
        let mut taken = read(on(day), 900 + day, 14_000);
        let mut sent = sent_by(on(day) + 2, 14_000, 70 + day);
        if let (What::Access(access), What::Flow(flow)) = (&mut taken.what, &mut sent.what) {
            access.process = reader;
            flow.process = sender;
        }
        let edge = Edge {
            from: End::Process(reader),
            to: End::Process(sender),
            kind: EdgeKind::UnixSocket,
            stores: vec!["pacs".into()],
            times: 1,
            bytes: 14_000,
            first_ns: at(on(day) + 1),
            last_ns: at(on(day) + 1),
        };
        let gone = |key: ProcessKey, program: &str| {
            let mut event = process(key, Some(SHELL), program);
            event.at_ns = at(on(day) + 3);
            if let What::Process(process) = &mut event.what {
                process.exited_ns = Some(event.at_ns);
            }
            event
        };
        vec![
            process(reader, Some(SHELL), "/usr/bin/tar"),
            process(sender, Some(SHELL), "/usr/bin/nc"),
            taken,
            event(at(on(day) + 1), What::Edge(edge)),
            sent,
            gone(reader, "/usr/bin/tar"),
            gone(sender, "/usr/bin/nc"),
        ]
    };
    let days = |count| [vec![family()], (0..count).map(daily).collect()].concat();
    assert_eq!(slow(&run(config(), days(4))), []);
    assert_eq!(slow(&run(config(), days(5))), [(1, 70_000)]);
}

/// What goes on after the days that were told of is told again, under the same id; a clock that is years ahead changes nothing.
#[test]
fn a_leak_that_goes_on_is_told_again() {
    let parts = |from: u64, count: u32| -> Vec<Vec<Event>> {
        let parts =
            (0..count).map(|number| part(number + from as u32, on(from) + u64::from(number)));
        parts.collect()
    };
    let ahead = part(900, on(4_000));
    let all = [vec![family()], parts(0, 4), vec![ahead], parts(20, 4)].concat();
    let found = run(config(), all);
    assert_eq!(slow(&found), [(1, 4 * 18_000), (2, 4 * 18_000)]);
    assert_eq!(found[0].id, found[1].id);
}

#[test]
fn a_place_where_nobody_had_sent_to_needs_less_for_an_alert() {
    let little = |second: u64| {
        vec![
            process(THIEF, Some(SHELL), "/usr/bin/curl"),
            read(second, 1, 9_000),
            sent_by(second, 5_000, 1),
        ]
    };
    let direct = |blocks| {
        let found = run(config(), blocks);
        found
            .iter()
            .filter(|alert| alert.pattern == "direct")
            .count()
    };
    assert_eq!(
        direct(vec![family(), little(0)]),
        0,
        "the fleet still learns"
    );
    assert_eq!(direct(vec![family(), little(on(8))]), 1);
    let known = part(3, 0);
    assert_eq!(
        direct(vec![family(), known, little(on(8))]),
        0,
        "known for days"
    );
    let mut download = little(on(8));
    if let What::Flow(flow) = &mut download[2].what {
        flow.bytes_in = 1 << 20;
    }
    assert_eq!(direct(vec![family(), download]), 0, "more came in");
    let found = run(config(), vec![family(), little(on(8))]);
    let reasons = found[0].severity.reasons.join(" ");
    assert!(
        reasons.contains("No program like this had sent to that network"),
        "{reasons}"
    );
}

/// A collector that starts again reads the log back and knows what it had learned: nothing is learned twice.
#[test]
fn what_was_learned_up_to_a_place_in_the_log_is_not_learned_again() {
    let blocks: Vec<Block> = [
        vec![habit(8, 200)],
        vec![reads(on(8), 10_000, 400)],
        vec![reads(on(8) + 9, 20_000, 201)],
    ]
    .concat()
    .into_iter()
    .zip(1..)
    .map(|(events, pos)| Block {
        pos,
        ..block(events)
    })
    .collect();
    let mut whole = Detector::new(config());
    let expected: Vec<Alert> = blocks.iter().flat_map(|one| whole.block(one)).collect();
    assert_eq!(bulk(&expected), [(1, 601)]);

    let mut before = Detector::new(config());
    blocks[..2]
        .iter()
        .for_each(|one| assert_eq!(before.block(one), []));
    let (learned, pos) = before.learned();
    let text = serde_json::to_string(learned).unwrap();
    let kept: Baseline = serde_json::from_str(&text).unwrap();
    let mut after = Detector::new(config()).knowing(kept, pos);
    let found: Vec<Alert> = blocks.iter().flat_map(|one| after.block(one)).collect();
    assert_eq!(found, expected);
    assert_eq!(after.learned(), whole.learned());
}

/// Blocks at their places in the log, through a detector that learns them and one that starts after with what that has learned, but for
/// what of the alerts is not there.
fn again(blocks: &[Vec<Event>], known: impl Fn(&Alert) -> bool) -> Vec<Alert> {
    let blocks: Vec<Block> = blocks
        .iter()
        .zip(1..)
        .map(|(events, pos)| Block {
            pos,
            ..block(events.clone())
        })
        .collect();
    let mut first = Detector::new(config());
    let told: Vec<Alert> = blocks.iter().flat_map(|one| first.block(one)).collect();
    let (learned, pos) = first.learned();
    let mut learned = learned.clone();
    let stored: Vec<&Alert> = told.iter().filter(|alert| known(alert)).collect();
    let ask = |telling: &Telling| -> Result<Known, ()> {
        let own = || stored.iter().filter(|alert| alert.id == telling.id);
        let whole = own().any(|alert| {
            [alert.figures.records, alert.figures.bytes_sent].contains(&telling.told.amount)
        });
        let last = own().next_back().map(|alert| Known::Others {
            revision: alert.revision,
            raised_ns: alert.raised_ns,
            revised_ns: alert.revised_ns,
            bytes_sent: alert.figures.bytes_sent,
        });
        Ok(if whole {
            Known::Whole
        } else {
            last.unwrap_or(Known::Nothing)
        })
    };
    let missing = recall(&mut learned, ask).unwrap();
    assert_eq!(missing.alerts == 0, told.iter().all(&known), "{missing:?}");
    let mut after = Detector::new(config()).knowing(learned, pos);
    blocks.iter().flat_map(|one| after.block(one)).collect()
}

/// What is told follows from the alerts that are there: of a database put back from a backup, what it lacks is told again.
#[test]
fn what_is_not_among_the_alerts_is_raised_again() {
    let later = reads(on(8) + 60, 20_000, 700);
    let many = [habit(8, 200), reads(on(8), 10_000, 601), later];
    let parts = (0..8).map(|number| part(number, u64::from(number) * DAY));
    let little: Vec<Vec<Event>> = [vec![family()], parts.collect()].concat();
    let told = |alerts: Vec<Alert>| [bulk(&alerts), slow(&alerts)].concat();
    let sums = [(1, 4 * 18_000), (2, 8 * 18_000)];
    for (blocks, all, first) in [
        (&many[..], &[(1, 1_301)][..], (2, 1_301)),
        (&little[..], &sums[..], sums[1]),
    ] {
        assert_eq!(told(again(blocks, |_| true)), [], "all are there");
        assert_eq!(told(again(blocks, |_| false)), all);
        assert_eq!(told(again(blocks, |alert| alert.revision == 1)), [first]);
    }
}
