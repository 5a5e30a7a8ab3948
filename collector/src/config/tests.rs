//! What a configuration may say, and what it is told when it may not.

use std::path::Path;
use std::time::Duration;

use super::{Config, Network};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("collector.toml")).map_err(|error| error.to_string())
}

#[test]
fn the_shipped_sample_is_valid_with_and_without_its_comments() {
    let sample = include_str!("../../pkg/collector.toml");
    parse(sample).unwrap();
    let uncommented: Vec<&str> = sample
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .collect();
    let config = parse(&uncommented.join("\n")).unwrap();
    assert!(config.file_sink.is_some() && config.syslog_sink.is_some());
    assert_eq!(config.detect.approved.len(), 3);
    assert_eq!(config.detect.keepers.len(), 1);
    assert_eq!(config.detect.wipe.records_min, 100);
    let empty = parse("").unwrap();
    assert_eq!(
        (config.listen, config.data_dir, config.horizon),
        (empty.listen, empty.data_dir, empty.horizon)
    );
    assert_eq!(
        config.detect.direct, empty.detect.direct,
        "the sample shows the defaults"
    );
}

#[test]
fn a_bad_value_names_file_key_and_reason() {
    let way = |field: &str, value: &str| {
        let fields = [
            ("name", "a"),
            ("store", "pacs"),
            ("executable", "/bin/a"),
            ("user", "root"),
            ("destination", "10.0.0.0/8:22"),
        ];
        let line = |(name, good): (&str, &str)| {
            format!(
                "{name} = \"{}\"\n",
                if name == field { value } else { good }
            )
        };
        format!("[[approved]]\n{}", fields.map(line).concat())
    };
    parse(&way("", "")).unwrap();
    let cases: &[(String, &[&str])] = &[
        ("listen = \"here\"".into(), &["line 1", "listen"]),
        (
            "[detect.direct]\nread_byte_min = 3".into(),
            &["line 2", "read_byte_min"],
        ),
        ("data_dir = \"data\"".into(), &["data_dir", "absolute"]),
        (
            "[detect.dns]\nlength_min = 256".into(),
            &["detect.dns.length_min", "256 is not between 1 and 255"],
        ),
        (
            "[detect.wipe]\nrecords_min = 1048577".into(),
            &["detect.wipe.records_min", "between 0"],
        ),
        (
            "[[keeper]]\nname = \"a\"\nstore = \"\"\nexecutable = \"/a\"\nuser = \"b\"".into(),
            &["keeper[0].store", "is empty"],
        ),
        (
            "[detect.direct]\nread_bytes_min = 0".into(),
            &["detect.direct.read_bytes_min", "0 is not between 1 and"],
        ),
        (
            "[detect.direct]\nsent_share_min = 1.5".into(),
            &["detect.direct.sent_share_min", "1.5"],
        ),
        (
            "[detect.direct]\nsent_share_min = nan".into(),
            &["detect.direct.sent_share_min", "NaN"],
        ),
        (
            "[detect.direct]\nwindow_seconds = 604801".into(),
            &["detect.direct.window_seconds"],
        ),
        (
            "[detect]\nhorizon_days = 0".into(),
            &["detect.horizon_days"],
        ),
        (
            "[detect]\nhorizon_days = 1\n[detect.direct]\nwindow_seconds = 86401".into(),
            &["detect.horizon_days", "86401", "2 or more"],
        ),
        (
            "[detect]\nmemory_max_mb = 63".into(),
            &["detect.memory_max_mb", "between 64 and 1048576"],
        ),
        (
            "[detect.chain]\nstaged_days = 0".into(),
            &["detect.chain.staged_days", "between 1 and 7"],
        ),
        (
            "[detect.chain]\nstaged_days = 8".into(),
            &[
                "detect.chain.staged_days",
                "detect.horizon_days (7)",
                "8 or more",
            ],
        ),
        (
            "[detect]\nhorizon_days = 365\n[detect.chain]\nstaged_days = 29".into(),
            &["detect.chain.staged_days", "between 1 and 28"],
        ),
        (
            "[sink.file]\npath = \"x\"".into(),
            &["sink.file.path", "absolute"],
        ),
        (
            "[sink.syslog]\naddress = \"siem\"".into(),
            &["sink.syslog.address", "host:port"],
        ),
        (
            "[sink.syslog]\naddress = \"siem:0\"".into(),
            &["sink.syslog.address"],
        ),
        (
            "[sink.syslog]\naddress = \"siem:1\"\nfacility = \"x\"".into(),
            &["sink.syslog.facility", "authpriv"],
        ),
        (
            "[sink.syslog]\naddress = \"siem:1\"\nsettle_ms = 1".into(),
            &["sink.syslog.settle_ms"],
        ),
        (way("store", ""), &["approved[0].store", "empty"]),
        (
            way("executable", "curl"),
            &["approved[0].executable", "absolute"],
        ),
        (
            way("", "") + "reader = \"rsync\"\n",
            &["approved[0].reader", "absolute"],
        ),
        (
            way("", "") + "hours = \"22-4\"\n",
            &["approved[0].hours", "22:00-04:00"],
        ),
        (
            way("", "") + "days = [\"monday\"]\n",
            &["approved[0].days", "mon-fri"],
        ),
        (
            way("", "") + "time_zone = \"UTC\"\n",
            &["approved[0].time_zone", "without days or hours"],
        ),
        (
            way("", "") + "bytes_max = 0\n",
            &["approved[0].bytes_max", "between 1 and"],
        ),
        (
            way("destination", "10.0.0.1/8"),
            &["approved[0].destination", "10.0.0.0/8"],
        ),
        (way("", "") + &way("", ""), &["approved[1].name", "twice"]),
        (
            "[[approved]]\nname = \"a\"".into(),
            &["line 1", "missing field"],
        ),
        ("[[approved]".into(), &["line 1"]),
    ];
    for (text, expected) in cases {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with("collector.toml: "), "{error}");
        for part in *expected {
            assert!(
                error.contains(part),
                "{text:?}: {part:?} is not in {error:?}"
            );
        }
    }
}

#[test]
fn networks_hold_what_they_say() {
    let cases = [
        ("10.1.0.0/16", "10.1.255.255", 9, true),
        ("10.1.0.0/16", "10.2.0.0", 9, false),
        ("10.1.0.0/16:22", "10.1.0.1", 22, true),
        ("10.1.0.0/16:22", "10.1.0.1", 23, false),
        ("10.1.2.3", "10.1.2.3", 1, true),
        ("10.1.2.3", "10.1.2.4", 1, false),
        ("0.0.0.0/0", "203.0.113.9", 1, true),
        ("0.0.0.0/0", "2001:db8::1", 1, false),
        ("::/0", "203.0.113.9", 1, false),
        ("2001:db8::/32", "2001:db8:1::9", 443, true),
        ("[2001:db8::/32]:443", "2001:db8:1::9", 443, true),
        ("[2001:db8::/32]:443", "2001:db8:1::9", 80, false),
        ("[2001:db8::1]", "2001:db8::1", 80, true),
    ];
    for (network, address, port, expect) in cases {
        let parsed: Network = network
            .parse()
            .unwrap_or_else(|error| panic!("{network}: {error}"));
        assert_eq!(
            parsed.contains(address.parse().unwrap(), port),
            expect,
            "{network} and {address}:{port}"
        );
    }
    for bad in [
        "",
        "host",
        "10.0.0.0/33",
        "10.0.0.0/x",
        "10.0.0.0:0",
        "10.0.0.0:65536",
        "[::1",
        "[::1]x",
        "::/129",
    ] {
        assert!(bad.parse::<Network>().is_err(), "{bad:?} was taken");
    }
}

#[test]
fn approved_ways_may_lie_in_files_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("collector.toml");
    std::fs::write(&file, "").unwrap();
    let directory = place.path().join("approved.d");
    std::fs::create_dir(&directory).unwrap();
    let way = |name: &str| {
        format!(
            "[[approved]]\nname = \"{name}\"\nstore = \"s\"\nexecutable = \"/x\"\nuser = \"u\"\ndestination = \"10.0.0.1\"\n"
        )
    };
    std::fs::write(directory.join("b.toml"), way("second")).unwrap();
    std::fs::write(directory.join("a.toml"), way("first")).unwrap();
    std::fs::write(directory.join("notes.txt"), "none").unwrap();
    let names = |config: &Config| -> Vec<String> {
        let ways = config.detect.approved.iter();
        ways.map(|way| way.name.clone()).collect()
    };
    assert_eq!(names(&Config::load(&file).unwrap()), ["first", "second"]);
    let refused = |text: String| {
        std::fs::write(directory.join("b.toml"), text).unwrap();
        Config::load(&file).unwrap_err().to_string()
    };
    let twice = refused(way("first"));
    assert!(
        twice.contains("approved.d/b.toml: approved[0].name") && twice.contains("twice"),
        "{twice}"
    );
    let more = refused("listen = \"127.0.0.1:1\"\n".into());
    assert!(
        more.contains("approved.d/b.toml") && more.contains("listen"),
        "{more}"
    );
}

/// A configuration with one feed that has these keys.
fn feed(keys: &str) -> Result<Config, String> {
    parse(&format!(
        "data_dir = \"/data\"\n[[intel]]\nname = \"agency\"\n{keys}"
    ))
}

#[test]
fn a_feed_is_carried_here_or_pulled() {
    let carried = feed("path = \"/feeds/list\"").unwrap().feeds.remove(0);
    assert_eq!((carried.path, carried.pull), ("/feeds/list".into(), None));
    let mut config = feed(
        "kind = \"taxii\"\nurl = \"https://t.example/c/1/\"\nuser = \"u\"\npassword_file = \"/p\"\nca_file = \"/ca\"",
    )
    .unwrap();
    let pulled = config.feeds[0].clone();
    assert_eq!(pulled.path, Path::new("/data/feeds/agency/taxii"));
    let pull = pulled.pull.unwrap();
    assert_eq!(pull.url, "https://t.example/c/1/");
    assert_eq!(pull.every, Duration::from_hours(6));
    assert_eq!(pull.login.unwrap().user, "u");
    config.keep_data_dir("/other".into());
    assert_eq!(config.feeds[0].path, Path::new("/other/feeds/agency/taxii"));
}

#[test]
fn what_cannot_be_pulled_is_refused() {
    let url = "url = \"https://t.example/x\"\n";
    let login = "user = \"u\"\npassword_file = \"/p\"";
    for (keys, said) in [
        (String::new(), "intel[0].path: is missing"),
        (
            format!("{url}path = \"/x\""),
            "intel[0].url: is beside path",
        ),
        ("path = \"/x\"\nkind = \"taxii\"".into(), "intel[0].kind"),
        (
            "path = \"/x\"\nevery_hours = 6".into(),
            "intel[0].every_hours: means nothing",
        ),
        (
            "path = \"/x\"\nuser = \"u\"".into(),
            "intel[0].user: means nothing",
        ),
        (
            "path = \"/x\"\nca_file = \"/c\"".into(),
            "intel[0].ca_file: means nothing",
        ),
        (
            format!("{url}every_hours = 0"),
            "intel[0].every_hours: 0 is not between 1 and 168",
        ),
        (
            format!("{url}every_hours = 169"),
            "intel[0].every_hours: 169",
        ),
        (
            format!("{url}user = \"u\""),
            "intel[0].password_file: is missing",
        ),
        (
            format!("{url}password_file = \"/p\""),
            "intel[0].user: is missing",
        ),
        (
            format!("{url}user = \"a:b\"\npassword_file = \"/p\""),
            "intel[0].user: is empty, or has a colon",
        ),
        (
            format!("{url}user = \"u\"\npassword_file = \"p\""),
            "intel[0].password_file: \"p\" is not an absolute",
        ),
        (
            format!("{url}ca_file = \"c\""),
            "intel[0].ca_file: \"c\" is not an absolute",
        ),
        (
            "url = \"ftp://t.example/x\"".into(),
            "intel[0].url: is no http or https URL",
        ),
        (
            "url = \"/x\"".into(),
            "intel[0].url: is no http or https URL",
        ),
        ("url = \"https://\"".into(), "intel[0].url: is no"),
        (
            "url = \"https://u:secret@t.example/\"".into(),
            "intel[0].url: has a user in it",
        ),
        (
            "url = \"https://t.example/#x\"".into(),
            "intel[0].url: has a fragment",
        ),
        (
            "url = \"https://t.example/?secret\"\nkind = \"misp\"".into(),
            "intel[0].url: has a query",
        ),
        (
            "url = \"https://t.example/?secret\"\nkind = \"taxii\"".into(),
            "intel[0].url: has a query",
        ),
        (
            format!("url = \"http://t.example/\"\n{login}"),
            "intel[0].url: is http, and anybody",
        ),
        (
            format!("url = \"http://127.0.0.1.example/\"\n{login}"),
            "intel[0].url: is http, and anybody",
        ),
    ] {
        let error = feed(&keys).unwrap_err();
        assert!(error.contains(said), "{error:?} does not say {said:?}");
        assert!(!error.contains("secret"), "{error}");
    }
    for host in ["127.0.0.1:8080", "[::1]", "localhost"] {
        assert!(feed(&format!("url = \"http://{host}/\"\n{login}")).is_ok());
    }
    assert!(feed("url = \"https://t.example/?key=1\"").is_ok());
    let name = "ü".repeat(40);
    let long = format!("[[intel]]\nname = \"{name}\"\nurl = \"https://t.example/\"");
    assert!(
        parse(&long)
            .unwrap_err()
            .contains("intel[0].name: is too long")
    );
}

#[test]
fn what_lies_in_files_is_known_for_as_long_as_a_restart_reads_back() {
    let days = |text: &str| {
        let config = Config::parse(text, Path::new("x.toml")).unwrap();
        config.detect.chain.staged.as_secs() / 86_400
    };
    assert_eq!(days(""), 7);
    assert_eq!(days("[detect]\nhorizon_days = 2"), 2);
    assert_eq!(days("[detect]\nhorizon_days = 30"), 7);
    assert_eq!(
        days("[detect]\nhorizon_days = 30\n[detect.chain]\nstaged_days = 28"),
        28
    );
}
