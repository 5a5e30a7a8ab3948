//! A MISP feed by URL: the manifest, its events, and what a server may do wrong.

use super::*;

const IDS: [&str; 3] = [
    "5a1c0b1e-0000-4000-8000-000000000001",
    "5a1c0b1e-0000-4000-8000-000000000002",
    "5a1c0b1e-0000-4000-8000-000000000003",
];

/// A manifest of events with when each was changed.
fn manifest(events: &[(&str, u32)]) -> Reply {
    let lines = events
        .iter()
        .map(|(id, changed)| format!(r#""{id}": {{"timestamp": "{changed}", "info": "x"}}"#));
    Reply::ok(&format!("{{{}}}", lines.collect::<Vec<_>>().join(", ")))
}

/// An event with an address.
fn event(address: &str) -> Reply {
    Reply::ok(&format!(
        r#"{{"Event": {{"uuid": "x", "Attribute": [{{"type": "ip-dst", "value": "{address}", "to_ids": true}}]}}}}"#
    ))
}

type Files = Arc<Mutex<BTreeMap<String, Reply>>>;

/// A feed of two events.
fn server() -> (Files, Web) {
    let files: Files = Arc::default();
    put(
        &files,
        "manifest.json",
        manifest(&[(IDS[0], 1), (IDS[1], 1)]),
    );
    put(&files, &format!("{}.json", IDS[0]), event("203.0.113.1"));
    put(&files, &format!("{}.json", IDS[1]), event("203.0.113.2"));
    let answers = Arc::clone(&files);
    let web = Web::start(move |request: &Request| {
        let file = request.target.strip_prefix("/feed/").unwrap_or_default();
        let known = answers.lock().unwrap().get(file).cloned();
        known.unwrap_or_else(|| Reply::new(404, "", ""))
    });
    (files, web)
}

fn put(files: &Files, name: &str, reply: Reply) {
    files.lock().unwrap().insert(name.to_owned(), reply);
}

fn targets(web: &Web) -> Vec<String> {
    let asked = web.asked().into_iter();
    asked.map(|request| request.target).collect()
}

fn kept(config: &FeedConfig, id: &str) -> String {
    fs::read_to_string(config.path.join(format!("{id}.json"))).unwrap_or_default()
}

#[test]
fn events_are_fetched_once_and_again_when_the_manifest_says_so() {
    let place = tempfile::tempdir().unwrap();
    let (files, web) = server();
    // With the manifest's name or without.
    for (index, url) in ["/feed", "/feed/", "/feed/manifest.json"]
        .iter()
        .enumerate()
    {
        let config = config(
            &place.path().join(index.to_string()),
            Kind::Misp,
            &web.url(url),
        );
        assert!(pull_at(&config, NOW_S), "{:?}", told_of(&config));
        assert_eq!(indicators(&config), 2);
        assert_eq!(targets(&web).len(), 3);
    }
    let config = config(&place.path().join("0"), Kind::Misp, &web.url("/feed"));
    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S));
    assert_eq!(targets(&web), ["/feed/manifest.json"]);

    // One is another, one is new, one is gone.
    put(
        &files,
        "manifest.json",
        manifest(&[(IDS[1], 2), (IDS[2], 1)]),
    );
    put(&files, &format!("{}.json", IDS[1]), event("198.51.100.2"));
    put(&files, &format!("{}.json", IDS[2]), event("198.51.100.3"));
    assert!(pull_at(&config, NOW_S + 12 * HOUR_S));
    assert_eq!(targets(&web).len(), 3);
    assert!(kept(&config, IDS[1]).contains("198.51.100.2"));
    assert_eq!(kept(&config, IDS[0]), "");
    assert_eq!(indicators(&config), 2);
    assert_eq!(names(&config), ["misp", "misp.0", "misp.1", "pulled.json"]);

    // What stays as it is is not asked for, however often the sides are turned.
    for (round, changed) in (3..).zip([2, 3]) {
        put(
            &files,
            "manifest.json",
            manifest(&[(IDS[1], 2), (IDS[2], changed)]),
        );
        assert!(pull_at(&config, NOW_S + round * 6 * HOUR_S));
        assert_eq!(
            targets(&web),
            ["/feed/manifest.json", &format!("/feed/{}.json", IDS[2])]
        );
        assert!(kept(&config, IDS[1]).contains("198.51.100.2"));
    }
}

#[test]
fn an_id_that_is_none_is_named_and_never_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let (files, web) = server();
    put(
        &files,
        "manifest.json",
        manifest(&[(IDS[0], 1), ("../../etc/passwd", 1)]),
    );
    let config = config(place.path(), Kind::Misp, &web.url("/feed"));
    assert!(pull_at(&config, NOW_S));
    assert_eq!(
        targets(&web),
        ["/feed/manifest.json", &format!("/feed/{}.json", IDS[0])]
    );
    let (_, states) = Intel::load(std::slice::from_ref(&config), &Intel::default());
    assert_eq!((states[1].indicators, states[1].skipped), (1, 1));
}

#[test]
fn an_event_that_does_not_come_whole_changes_nothing() {
    let too_many = (0..=100_000).map(|n| format!(r#""{n}": 1"#));
    let too_many = format!("{{{}}}", too_many.collect::<Vec<_>>().join(","));
    let second = format!("{}.json", IDS[1]);
    let cut = Reply(b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{\"Event\"".to_vec());
    for (file, reply, said) in [
        (second.as_str(), cut.clone(), "did not come whole"),
        (&second, Reply::new(404, "", ""), "answers 404"),
        (&second, Reply::ok("{"), "not what its kind says"),
        (&second, Reply::ok(""), "an empty file"),
        ("manifest.json", cut, "did not come whole"),
        ("manifest.json", Reply::ok("[]"), "not what its kind says"),
        (
            "manifest.json",
            Reply::ok(&too_many),
            "more than 100,000 events",
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        let (files, web) = server();
        let config = config(place.path(), Kind::Misp, &web.url("/feed"));
        assert!(pull_at(&config, NOW_S));
        put(
            &files,
            "manifest.json",
            manifest(&[(IDS[0], 1), (IDS[1], 2)]),
        );
        put(&files, file, reply);
        assert!(!pull_at(&config, NOW_S + 6 * HOUR_S), "{said}");
        let problem = told_of(&config).problem.unwrap();
        assert!(problem.contains(said), "{problem:?} does not say {said:?}");
        assert!(kept(&config, IDS[1]).contains("203.0.113.2"));
        assert_eq!(indicators(&config), 2);
        assert_eq!(names(&config), ["misp", "misp.0", "pulled.json"]);
    }
}
