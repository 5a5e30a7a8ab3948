//! Pulling from a server on loopback: what comes takes the place of what was there, and what does not come whole changes nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../../tests/blackbox/web.rs"]
mod web;

mod misp;
mod taxii;
mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::client::Allowance;
use super::*;
use crate::intel::Intel;
use web::{Reply, Request, Web};

/// When the tests pull first, seconds since the Unix epoch.
const NOW_S: u64 = 1_796_000_000;
const HOUR_S: u64 = 3_600;

/// A feed of a server, kept below a directory.
fn config(place: &Path, kind: Kind, url: &str) -> FeedConfig {
    let mut config = FeedConfig {
        name: "of the/agency".into(),
        kind,
        path: PathBuf::new(),
        pull: Some(PullConfig {
            url: url.into(),
            every: Duration::from_hours(6),
            login: None,
            ca_file: None,
        }),
        label: "c2".into(),
        confidence: None,
        lasts: None,
        stale: None,
    };
    config.keep_below(place);
    config
}

/// Answers with what is in it, which a test changes.
fn changing(reply: Reply) -> (Arc<Mutex<Reply>>, Web) {
    let shared = Arc::new(Mutex::new(reply));
    let answers = Arc::clone(&shared);
    let web = Web::start(move |_| answers.lock().unwrap().clone());
    (shared, web)
}

fn pull_at(config: &FeedConfig, now_s: u64) -> bool {
    pull_if_due(config, now_s, false, &|| false)
}

fn told_of(config: &FeedConfig) -> Pulled {
    told(config).unwrap()
}

/// The names in a feed's directory.
fn names(config: &FeedConfig) -> Vec<String> {
    let entries = fs::read_dir(config.path.parent().unwrap()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn indicators(config: &FeedConfig) -> usize {
    let (_, states) = Intel::load(std::slice::from_ref(config), &Intel::default());
    assert_eq!(states[1].problem, None);
    states[1].indicators
}

#[test]
fn a_list_is_pulled_when_it_is_due_and_asked_for_only_if_it_has_changed() {
    let place = tempfile::tempdir().unwrap();
    let web = Web::start(|request: &Request| match request.header("if-none-match") {
        "\"v1\"" => Reply::new(304, "", ""),
        _ => Reply::new(200, "etag: \"v1\"\r\n", "203.0.113.9\nevil.example\n"),
    });
    let config = config(place.path(), Kind::List, &web.url("/list?key=1"));
    assert_eq!(
        config.path,
        place.path().join("feeds/of%20the%2Fagency/list")
    );
    assert_eq!(told_of(&config), Pulled::default());
    assert_eq!(indicators(&config), 0);

    assert!(pull_at(&config, NOW_S));
    assert_eq!(indicators(&config), 2);
    assert_eq!(names(&config), ["list", "pulled.json"]);
    let asked = web.asked();
    assert_eq!(asked[0].target, "/list?key=1");
    assert_eq!(asked[0].header("if-none-match"), "");
    assert_eq!(asked[0].header("authorization"), "");
    assert!(asked[0].header("user-agent").starts_with("chartwatch/"));

    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S - 1));
    assert!(web.asked().is_empty(), "not due");
    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S));
    assert_eq!(web.asked()[0].header("if-none-match"), "\"v1\"");
    let pulled = told_of(&config);
    assert_eq!(pulled.succeeded_s, Some(NOW_S + 6 * HOUR_S));
    assert_eq!(pulled.problem, None);

    fs::remove_file(&config.path).unwrap();
    assert!(pull_at(&config, NOW_S + 6 * HOUR_S + 1), "it is not there");
    assert_eq!(web.asked()[0].header("if-none-match"), "");
    let state = fs::read_to_string(config.path.with_file_name("pulled.json")).unwrap();
    assert!(!state.contains("key"), "{state}");
}

#[test]
fn what_comes_again_is_nothing_new() {
    let place = tempfile::tempdir().unwrap();
    let (reply, web) = changing(Reply::ok("203.0.113.9\n"));
    let config = config(place.path(), Kind::List, &web.url("/"));
    assert!(pull_at(&config, NOW_S));
    let written = fs::metadata(&config.path).unwrap().modified().unwrap();
    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S));
    let after = fs::metadata(&config.path).unwrap().modified().unwrap();
    assert_eq!(written, after);
    *reply.lock().unwrap() = Reply::ok("203.0.113.9\n203.0.113.10\n");
    assert!(pull_at(&config, NOW_S + 12 * HOUR_S));
    assert_eq!(indicators(&config), 2);
}

/// Answers that are not taken, with what is said of them.
fn broken() -> Vec<(Reply, &'static str)> {
    let cut = b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n203.0.113.1\n";
    let chunk = b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\nff\r\n203.0.113.1\n";
    let large = b"HTTP/1.1 200 x\r\ncontent-length: 268435457\r\n\r\n203.0.113.1\n";
    let html = "content-type: text/html; charset=utf-8\r\n";
    let elsewhere = "location: http://192.0.2.1/\r\n";
    vec![
        (Reply(cut.to_vec()), "did not come whole"),
        (Reply(chunk.to_vec()), "did not come whole"),
        (Reply(large.to_vec()), "more than 256 MiB"),
        (Reply(Vec::new()), "does not answer"),
        (Reply(b"nonsense\r\n\r\n".to_vec()), "does not answer"),
        (Reply::ok(""), "an empty file"),
        (Reply::ok("a page\nthat says no\n"), "none of 2 entries"),
        (Reply::new(200, html, "evil.example"), "a web page came"),
        (
            Reply::new(302, elsewhere, ""),
            "redirects to \"http://192.0.2.1/\"",
        ),
        (Reply::new(304, "", ""), "answers 304"),
        (Reply::new(401, "", ""), "answers 401: user or password"),
        (
            Reply::new(404, "", "203.0.113.1"),
            "answers 404: there is nothing",
        ),
        (Reply::new(500, "", "203.0.113.1"), "answers 500"),
    ]
}

#[test]
fn what_does_not_come_whole_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (reply, web) = changing(Reply::ok("203.0.113.9\n"));
    let config = config(place.path(), Kind::List, &web.url("/"));
    assert!(pull_at(&config, NOW_S));
    let mut now_s = NOW_S + 6 * HOUR_S;
    for (broken, said) in broken() {
        *reply.lock().unwrap() = broken;
        assert!(!pull_at(&config, now_s), "{said}");
        assert_eq!(fs::read(&config.path).unwrap(), b"203.0.113.9\n", "{said}");
        assert_eq!(names(&config), ["list", "pulled.json"], "{said}");
        let pulled = told_of(&config);
        let problem = pulled.problem.unwrap();
        assert!(problem.contains(said), "{problem:?} does not say {said:?}");
        assert_eq!(pulled.succeeded_s, Some(NOW_S));
        assert_eq!(pulled.tried_s, Some(now_s));
        // What failed is tried again soon, but not at once.
        web.asked();
        assert!(!pull_at(&config, now_s + 899));
        assert!(web.asked().is_empty());
        now_s += 900;
    }
    *reply.lock().unwrap() = Reply::ok("203.0.113.10\n");
    assert!(pull_at(&config, now_s));
    assert_eq!(told_of(&config).problem, None);
}

#[test]
fn a_server_that_is_down_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (_, web) = changing(Reply::ok("203.0.113.9\n"));
    let config = config(place.path(), Kind::List, &web.url("/"));
    assert!(pull_at(&config, NOW_S));
    drop(web);
    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S));
    let problem = told_of(&config).problem.unwrap();
    assert!(problem.contains("does not answer"), "{problem}");
    assert_eq!(indicators(&config), 1);
}

#[test]
fn a_bundle_that_is_no_json_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let good = r#"{"type": "bundle", "objects": [{"type": "indicator", "id": "indicator--1", "pattern_type": "stix", "pattern": "[ipv4-addr:value = '203.0.113.9']"}]}"#;
    let (reply, web) = changing(Reply::ok(good));
    let config = config(place.path(), Kind::Stix, &web.url("/bundle.json"));
    assert!(pull_at(&config, NOW_S));
    *reply.lock().unwrap() = Reply::ok(&good[..good.len() - 1]);
    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S));
    let problem = told_of(&config).problem.unwrap();
    assert!(problem.contains("not what its kind says"), "{problem}");
    assert_eq!(indicators(&config), 1);
}

/// A feed with a login whose password lies in a file of a mode.
fn with_login(place: &Path, url: &str, password: &str, mode: u32) -> FeedConfig {
    let password_file = place.join("password");
    fs::write(&password_file, password).unwrap();
    fs::set_permissions(&password_file, fs::Permissions::from_mode(mode)).unwrap();
    let mut config = config(place, Kind::List, url);
    config.pull.as_mut().unwrap().login = Some(Login {
        user: "ward".into(),
        password_file,
    });
    config
}

#[test]
fn a_password_is_sent_and_one_that_others_can_read_is_not() {
    let web = Web::start(|request: &Request| match request.header("authorization") {
        // "ward:a:b ü" (RFC 7617, 2.1)
        "Basic d2FyZDphOmIgw7w=" => Reply::ok("203.0.113.9\n"),
        _ => Reply::new(401, "www-authenticate: Basic realm=\"x\"\r\n", ""),
    });
    for (password, mode, said) in [
        ("a:b ü\n", 0o600, None),
        ("a:b ü", 0o400, None),
        ("wrong", 0o600, Some("answers 401")),
        ("a:b ü", 0o640, Some("has mode 0640")),
        ("a:b ü", 0o604, Some("has mode 0604")),
        ("\n", 0o600, Some("is empty")),
        ("a:b ü\nmore", 0o600, Some("a second line")),
    ] {
        let place = tempfile::tempdir().unwrap();
        let config = with_login(place.path(), &web.url("/"), password, mode);
        assert_eq!(pull_at(&config, NOW_S), said.is_none(), "{said:?}");
        let problem = told_of(&config).problem;
        assert_eq!(problem.is_none(), said.is_none(), "{problem:?}");
        if let (Some(problem), Some(said)) = (problem, said) {
            assert!(problem.contains(said), "{problem:?} does not say {said:?}");
            assert!(!problem.contains("a:b"), "{problem}");
        }
    }
    web.asked();
    let place = tempfile::tempdir().unwrap();
    let config = with_login(place.path(), &web.url("/"), "a", 0o644);
    assert!(!pull_at(&config, NOW_S));
    assert!(
        web.asked().is_empty(),
        "nothing is asked with such a password"
    );
}

#[test]
fn a_body_may_be_as_large_as_is_allowed_and_no_larger() {
    let body = "x".repeat(100_000);
    let chunked = format!(
        "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let (reply, web) = changing(Reply::ok(&body));
    let place = tempfile::tempdir().unwrap();
    let config = config(place.path(), Kind::List, &web.url("/"));
    let pull = config.pull.unwrap();
    for reply_now in [Reply::ok(&body), Reply(chunked.into_bytes())] {
        *reply.lock().unwrap() = reply_now;
        for (allowed, fits) in [(100_000, true), (99_999, false)] {
            let client = Client::new(&pull, &|| false).unwrap();
            let answer = client.get(&pull.url, "*/*", &client::Marks::default());
            let bytes = answer.unwrap().unwrap().bytes(&mut Allowance(allowed));
            match bytes {
                Ok(bytes) => assert!(fits && bytes == body.as_bytes()),
                Err(error) => assert!(!fits && matches!(error, PullError::Large), "{error}"),
            }
        }
    }
}

#[test]
fn entries_that_are_still_listed_begin_anew_before_their_time_is_over() {
    let place = tempfile::tempdir().unwrap();
    let (_, web) = changing(Reply::ok("203.0.113.9\n"));
    let mut config = config(place.path(), Kind::List, &web.url("/"));
    config.lasts = Some(Duration::from_hours(96));
    assert!(pull_at(&config, NOW_S));
    assert!(!pull_at(&config, NOW_S + 6 * HOUR_S), "just written");
    let old = SystemTime::now() - Duration::from_hours(25);
    let file = fs::File::open(&config.path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(old))
        .unwrap();
    assert!(pull_at(&config, NOW_S + 12 * HOUR_S));
    assert!(!pull_at(&config, NOW_S + 18 * HOUR_S));
}

#[test]
fn what_was_noted_of_another_url_or_by_a_clock_ahead_is_of_no_use() {
    let place = tempfile::tempdir().unwrap();
    let (_, web) = changing(Reply::new(200, "etag: \"a\"\r\n", "203.0.113.9\n"));
    let first = config(place.path(), Kind::List, &web.url("/a"));
    assert!(pull_at(&first, NOW_S));
    let second = config(place.path(), Kind::List, &web.url("/b"));
    assert_eq!(told_of(&second), Pulled::default());
    assert!(!pull_at(&second, NOW_S + 1), "the same came");
    let asked = web.asked();
    assert_eq!(asked[1].target, "/b");
    assert_eq!(asked[1].header("if-none-match"), "");
    assert!(!pull_at(&second, NOW_S - HOUR_S));
    assert_eq!(web.asked().len(), 1, "the clock was ahead");
    fs::write(second.path.with_file_name("pulled.json"), "{\"source\": 3").unwrap();
    assert_eq!(told_of(&second), Pulled::default());
}

#[test]
fn a_name_never_leads_out_of_the_directory() {
    for (name, expected) in [
        ("agency", "agency"),
        ("../../etc", "%2E%2E%2F%2E%2E%2Fetc"),
        (".", "%2E"),
        ("a b_c-d", "a%20b_c-d"),
        ("ü\0", "%C3%BC%00"),
    ] {
        assert_eq!(directory(name), expected);
    }
}

/// Waits until something is so.
fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thread_tells_of_what_is_new_and_ends_with_its_sender() {
    let place = tempfile::tempdir().unwrap();
    let (reply, web) = changing(Reply::new(500, "", ""));
    let config = config(place.path(), Kind::List, &web.url("/"));
    let (feeds, to_pull) = watch::channel(Vec::new());
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let changed = move || {
        counting.fetch_add(1, Ordering::SeqCst);
    };
    let ended = spawn(to_pull, Handle::current(), changed).unwrap();
    feeds.send_replace(vec![config.clone()]);
    until(|| told_of(&config).problem.is_some());
    *reply.lock().unwrap() = Reply::ok("203.0.113.9\n");
    feeds.send_replace(vec![config.clone()]);
    until(|| count.load(Ordering::SeqCst) == 1);
    assert_eq!(indicators(&config), 1);
    drop(feeds);
    let waited = tokio::time::timeout(Duration::from_secs(5), ended).await;
    assert!(waited.is_ok(), "it did not end");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_pull_that_is_stopped_leaves_everything_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let (_, web) = changing(Reply::ok(&"203.0.113.9\n".repeat(10_000)));
    let config = config(place.path(), Kind::List, &web.url("/"));
    // It goes on until the second piece of the body.
    let asked = AtomicUsize::new(0);
    let is_over = || asked.fetch_add(1, Ordering::SeqCst) > 2;
    assert!(!pull_if_due(&config, NOW_S, false, &is_over));
    assert_eq!(web.asked().len(), 1);
    assert!(names(&config).is_empty());
    assert_eq!(told_of(&config), Pulled::default());
}
