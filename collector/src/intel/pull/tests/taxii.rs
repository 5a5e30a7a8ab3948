//! A collection of a TAXII 2.1 server: pages, what was added since, and what a server may do wrong.

use super::*;

const WEEK_S: u64 = 7 * 24 * HOUR_S;

/// An indicator of an address, as it was modified on a day of March 2026.
fn indicator(id: u32, address: &str, day: u32, more: &str) -> String {
    format!(
        r#"{{"type": "indicator", "id": "indicator--{id}", "modified": "2026-03-{day:02}T10:00:00Z", "pattern_type": "stix",
             "pattern": "[ipv4-addr:value = '{address}']"{more}}}"#
    )
}

/// A page with what comes behind the objects, added up to a minute.
fn page(minute: u32, objects: &[String], more: &str) -> Reply {
    let body = format!(r#"{{"objects": [{}]{more}}}"#, objects.join(", "));
    let added = format!("2026-03-16T03:{minute:02}:45.123456Z");
    let headers = format!(
        "content-type: application/taxii+json;version=2.1\r\nX-TAXII-Date-Added-Last: {added}\r\n"
    );
    Reply::new(200, &headers, &body)
}

const FIRST: &str = "/api/collections/1/objects/?match%5Btype%5D=indicator&limit=1000";
const SINCE: &str = "/api/collections/1/objects/?match%5Btype%5D=indicator&limit=1000&added_after=2026-03-16T03%3A12%3A45.123456Z";

/// What is asked of a server that has `pages` by target; what is not among them is not found.
fn server(pages: &[(&str, Reply)]) -> (Arc<Mutex<BTreeMap<String, Reply>>>, Web) {
    let own = |(target, reply): &(&str, Reply)| ((*target).to_owned(), reply.clone());
    let shared: Arc<Mutex<BTreeMap<_, _>>> = Arc::new(Mutex::new(pages.iter().map(own).collect()));
    let answers = Arc::clone(&shared);
    let web = Web::start(move |request: &Request| {
        let known = answers.lock().unwrap().get(&request.target).cloned();
        known.unwrap_or_else(|| Reply::new(404, "", ""))
    });
    (shared, web)
}

/// A collection of two pages with three indicators and something else.
fn two_pages() -> Vec<(&'static str, Reply)> {
    let malware = r#"{"type": "malware", "id": "malware--1"}"#.to_owned();
    let first = [indicator(1, "203.0.113.1", 1, ""), malware];
    let second = [
        indicator(2, "203.0.113.2", 1, ""),
        indicator(3, "203.0.113.3", 3, ""),
    ];
    vec![
        (
            FIRST,
            page(11, &first, r#", "more": true, "next": "a/b+c""#),
        ),
        (
            "/api/collections/1/objects/?match%5Btype%5D=indicator&limit=1000&next=a%2Fb%2Bc",
            page(12, &second, r#", "more": false"#),
        ),
        (SINCE, page(12, &[], "")),
    ]
}

fn collection(place: &Path, web: &Web) -> FeedConfig {
    config(place, Kind::Taxii, &web.url("/api/collections/1/"))
}

#[test]
fn all_pages_are_fetched_and_then_what_was_added() {
    let place = tempfile::tempdir().unwrap();
    let (pages, web) = server(&two_pages());
    let config = collection(place.path(), &web);
    assert!(pull_at(&config, NOW_S));
    assert_eq!(told_of(&config).problem, None);
    assert_eq!(indicators(&config), 3);
    let asked = web.asked();
    assert_eq!(asked.len(), 2);
    for request in &asked {
        assert_eq!(
            request.header("accept"),
            "application/taxii+json;version=2.1"
        );
    }
    assert!(
        !fs::read_to_string(&config.path)
            .unwrap()
            .contains("malware")
    );

    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S), "nothing was added");
    assert_eq!(web.asked()[0].target, SINCE);

    // One is new, one was revoked, and an old version of a third comes again.
    let added = [
        indicator(4, "203.0.113.4", 2, ""),
        indicator(2, "203.0.113.2", 2, r#", "revoked": true"#),
        indicator(3, "198.51.100.3", 1, ""),
    ];
    let added = page(20, &added, "");
    pages.lock().unwrap().insert(SINCE.into(), added);
    assert!(pull_at(&config, NOW_S + 12 * HOUR_S));
    assert_eq!(indicators(&config), 3);
    let kept = fs::read_to_string(&config.path).unwrap();
    assert!(kept.contains("203.0.113.3") && !kept.contains("198.51.100.3"));
    web.asked();
    assert!(
        !pull_at(&config, NOW_S + 18 * HOUR_S),
        "such a page is not found"
    );
    let since = &web.asked()[0].target;
    assert!(
        since.ends_with("added_after=2026-03-16T03%3A20%3A45.123456Z"),
        "{since}"
    );
}

#[test]
fn once_a_week_what_the_server_deleted_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let (pages, web) = server(&two_pages());
    let config = collection(place.path(), &web);
    assert!(pull_at(&config, NOW_S));
    let left = page(12, &[indicator(1, "203.0.113.1", 1, "")], "");
    pages.lock().unwrap().insert(FIRST.into(), left);
    assert!(!pull_at(&config, NOW_S + WEEK_S - 1), "what was added only");
    assert_eq!(indicators(&config), 3);
    assert!(pull_at(&config, NOW_S + WEEK_S + 6 * HOUR_S));
    assert_eq!(indicators(&config), 1);
    // What is kept is gone or broken: all is asked for.
    for broken in [None, Some("{")] {
        match broken {
            None => fs::remove_file(&config.path).unwrap(),
            Some(text) => fs::write(&config.path, text).unwrap(),
        }
        web.asked();
        assert!(pull_at(&config, NOW_S + 3 * WEEK_S));
        assert_eq!(web.asked()[0].target, FIRST);
        assert_eq!(indicators(&config), 1);
        fs::remove_file(config.path.with_file_name("pulled.json")).unwrap();
    }
}

#[test]
fn without_next_the_pages_go_on_behind_the_newest_object() {
    let place = tempfile::tempdir().unwrap();
    let one = |id: u32| [indicator(id, &format!("203.0.113.{id}"), 1, "")];
    let (_, web) = server(&[
        (FIRST, page(12, &one(1), r#", "more": true"#)),
        (SINCE, page(13, &one(2), r#", "more": false"#)),
    ]);
    let config = collection(place.path(), &web);
    assert!(pull_at(&config, NOW_S));
    assert_eq!(indicators(&config), 2);
}

#[test]
fn a_server_may_go_on_under_the_same_name_as_long_as_something_else_comes() {
    let next = r#", "more": true, "next": "cursor""#;
    for (pages, last, said) in [
        (4, "", None),
        (4, next, Some("have no end")),
        (1, next, Some("have no end")),
    ] {
        let place = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        let web = Web::start(move |_| {
            // The last one comes again and again.
            let id = count.fetch_add(1, Ordering::SeqCst).min(pages);
            let more = if id < pages { next } else { last };
            let one = indicator(id as u32, &format!("203.0.113.{id}"), 1, "");
            page(12, &[one], more)
        });
        let config = collection(place.path(), &web);
        assert_eq!(pull_at(&config, NOW_S), said.is_none());
        match (told_of(&config).problem, said) {
            (None, None) => assert_eq!(indicators(&config), pages + 1),
            (Some(problem), Some(said)) => assert!(problem.contains(said), "{problem}"),
            other => panic!("{other:?}"),
        }
        assert!(web.asked().len() <= pages + 2);
    }
}

#[test]
fn a_collection_may_be_empty_and_say_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (_, web) = server(&[(FIRST, Reply::ok("{}"))]);
    let config = collection(place.path(), &web);
    assert!(pull_at(&config, NOW_S));
    assert_eq!(indicators(&config), 0);
    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S));
    let asked = web.asked();
    assert_eq!(asked[1].target, FIRST, "when nothing says since when");
}

#[test]
fn pages_that_do_not_come_whole_change_nothing() {
    const SECOND: &str = "/api/collections/1/objects/?match%5Btype%5D=indicator&limit=1000&next=2";
    let one = || [indicator(1, "203.0.113.1", 1, "")];
    let next = r#", "more": true, "next": "2""#;
    let cut = Reply(b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{\"objects\": [".to_vec());
    let large = Reply(b"HTTP/1.1 200 x\r\ncontent-length: 268435400\r\n\r\n{".to_vec());
    for (second, said) in [
        (cut, "did not come whole"),
        (large, "more than 256 MiB"),
        (Reply::new(500, "", ""), "answers 500"),
        (Reply::new(406, "", ""), "does not speak TAXII 2.1"),
        (Reply::ok("a page"), "not what its kind says"),
        (Reply::ok(r#"{"objects": [3]}"#), "not what its kind says"),
        (Reply::ok(r#"{"objects": {}}"#), "not what its kind says"),
        (page(12, &one(), next), "have no end"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let (pages, web) = server(&[(FIRST, page(12, &one(), ""))]);
        let config = collection(place.path(), &web);
        assert!(pull_at(&config, NOW_S));
        let kept = fs::read(&config.path).unwrap();
        let mut changed = pages.lock().unwrap();
        changed.insert(FIRST.into(), page(12, &one(), next));
        changed.insert(SECOND.into(), second);
        drop(changed);
        assert!(!pull_at(&config, NOW_S + WEEK_S), "{said}");
        let problem = told_of(&config).problem.unwrap();
        assert!(problem.contains(said), "{problem:?} does not say {said:?}");
        assert_eq!(fs::read(&config.path).unwrap(), kept);
        assert_eq!(names(&config), ["pulled.json", "taxii"]);
    }
}

#[test]
fn pages_that_neither_name_the_next_nor_say_when_are_an_error() {
    let place = tempfile::tempdir().unwrap();
    let (_, web) = server(&[(FIRST, Reply::ok(r#"{"more": true}"#))]);
    let config = collection(place.path(), &web);
    assert!(!pull_at(&config, NOW_S));
    assert!(told_of(&config).problem.unwrap().contains("have no end"));
    assert_eq!(web.asked().len(), 1);
}
