//! Every refusal of the configuration, as a table; and the sample that is installed.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// A directory with `a`, `a/inner`, `b`, `link` (to `a`) and a file `plain`.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    std::fs::create_dir_all(root.join("a/inner")).unwrap();
    std::fs::create_dir(root.join("b")).unwrap();
    std::fs::write(root.join("plain"), "").unwrap();
    std::os::unix::fs::symlink(root.join("a"), root.join("link")).unwrap();
    place
}

/// Parses with `$R` standing for the directory of [`place`].
fn parse(place: &tempfile::TempDir, text: &str) -> Result<Config, ConfigError> {
    let text = text.replace("$R", place.path().to_str().unwrap());
    Config::parse("sensor.toml", &text, "ward-7.example")
}

const STORE: &str = "[[store]]\nname = \"pacs\"\npath = \"$R/a\"\n";

#[test]
fn one_store_is_enough_and_the_rest_has_defaults() {
    let place = place();
    let config = parse(&place, STORE).unwrap();
    assert_eq!(config.sensor_id, "ward-7.example");
    assert_eq!(config.collector.address, "https://127.0.0.1:7443");
    assert_eq!(
        config.privacy,
        Privacy::Token {
            key_file: "/etc/chartwatch/token.key".into()
        }
    );
    assert_eq!(config.kernel.backend, Backend::Auto);
    assert_eq!(config.kernel.tick, Duration::from_millis(200));
    assert_eq!(
        config.queue,
        Queue {
            events_max: 200_000,
            bytes_max: 16 << 20,
            drain: Duration::from_secs(5)
        }
    );
    assert_eq!(
        config.spool,
        Some(Spool {
            directory: "/var/lib/chartwatch-sensor/spool".into(),
            bytes_max: 512 << 20,
            age_max: Duration::from_hours(168),
            keep: Duration::from_hours(1),
        })
    );
    assert_eq!(config.stores[0].path, place.path().join("a"));
}

#[test]
fn every_key_is_taken() {
    let place = place();
    let config = parse(
        &place,
        "sensor_id = \"w\"\nbackend = \"fentry\"\n[collector]\naddress = \"https://c.example:1\"\n[privacy]\nnames = \"plain\"\n\
         [queue]\nevents_max = 1000\nbytes_max = 1048576\ndrain_s = 0\n\
         [spool]\ndirectory = \"/s\"\nmax_bytes = 16777216\nmax_age_hours = 1\nkeep_acknowledged_minutes = 0\n\
         [kernel]\ntick_ms = 50\nbulk_ring_bytes = 65536\ncritical_ring_bytes = 131072\n\
         [[store]]\nname = \"one\"\npath = \"$R/link/\"\n[[store]]\nname = \"two\"\npath = \"$R/b\"\n",
    )
    .unwrap();
    assert_eq!(config.sensor_id, "w");
    assert_eq!(
        config.spool,
        Some(Spool {
            directory: "/s".into(),
            bytes_max: 16 << 20,
            age_max: Duration::from_hours(1),
            keep: Duration::ZERO,
        })
    );
    assert_eq!(config.privacy, Privacy::Plain);
    assert_eq!(config.kernel.backend, Backend::Fentry);
    assert_eq!(
        (
            config.kernel.bulk_ring_bytes,
            config.kernel.critical_ring_bytes
        ),
        (65_536, 131_072)
    );
    assert_eq!(
        config.stores[0].canonical,
        place.path().canonicalize().unwrap().join("a")
    );
    assert_eq!(config.stores.len(), 2);
}

#[test]
fn who_serves_records_need_not_be_there() {
    let place = place();
    let text = "[privacy]\nnames = \"plain\"\n[[store]]\nname = \"a\"\nexecutable = \"$R/*/bin/serve\"\n\
        [[store]]\nname = \"b\"\nservice = \"$R/none\"\n[[store]]\nname = \"c\"\nunit = \"archive@x\\\\x2d1.service\"\n";
    let stores = parse(&place, text).unwrap().stores;
    let services: Vec<&Service> = stores.iter().filter_map(|s| s.service.as_ref()).collect();
    let Service::Executable(pattern) = services[0] else {
        panic!("{services:?}");
    };
    assert!(pattern.as_str().ends_with("/*/bin/serve"));
    assert_eq!(
        services[2],
        &Service::Unit("archive@x\\x2d1.service".to_owned())
    );
    assert!(services.iter().all(|service| !service.is_there()));
    std::fs::create_dir(place.path().join("a/bin")).unwrap();
    std::fs::write(place.path().join("a/bin/serve"), "").unwrap();
    std::fs::write(place.path().join("none"), "").unwrap();
    assert!(services[..2].iter().all(|service| service.is_there()));
}

#[test]
fn no_directory_is_no_disk() {
    let place = place();
    let config = parse(&place, &format!("[spool]\ndirectory = \"\"\n{STORE}")).unwrap();
    assert_eq!(config.spool, None);
}

#[test]
fn a_path_may_be_as_long_as_the_kernel_takes_it() {
    let place = place();
    let text = |len: usize| {
        let mut path = format!("{}/a", place.path().display());
        while path.len() < len {
            let part = (len - path.len() - 1).clamp(1, 200);
            path.push('/');
            path.push_str(&"x".repeat(part));
        }
        let made = std::fs::create_dir_all(&path);
        (made, STORE.replace("$R/a", &path))
    };
    let (made, config) = text(4_000);
    made.unwrap();
    let config = parse(&place, &config).unwrap();
    assert!(config.stores[0].path.as_os_str().len() >= 4_000);
    let error = parse(&place, &text(4_200).1).unwrap_err().to_string();
    assert!(error.starts_with("sensor.toml: store[1].path: "), "{error}");
    assert!(error.contains("the kernel takes 4095"), "{error}");
    assert!(error.len() < 200, "{error}");
}

#[test]
fn refusals_name_key_or_line_and_reason() {
    let place = place();
    let many = "[[store]]\nname = \"x\"\npath = \"/x\"\n".repeat(STORES_MAX + 1);
    // What stands before the good store; then the words the error must have.
    let before: &[(&str, &[&str])] = &[
        ("sensr_id = \"x\"\n", &["sensor.toml:1: ", "sensr_id"]),
        ("\nsensor_id = 7\n", &["sensor.toml:2: ", "string"]),
        ("sensor_id = \n", &["sensor.toml:1: "]),
        (
            "sensor_id = \"a b\"\n",
            &["sensor.toml: sensor_id: ", "\"a b\""],
        ),
        (
            "backend = \"kprobe\"\n",
            &["sensor.toml:1: ", "kprobe", "tracepoint"],
        ),
        (
            "[spool]\ndirectory = \"spool\"\n",
            &["spool.directory", "absolute"],
        ),
        ("[spool]\nmax_bytes = 1\n", &["spool.max_bytes", "16777216"]),
        (
            "[spool]\nmax_age_hours = 0\n",
            &["spool.max_age_hours", "8760"],
        ),
        (
            "backend = \"fentry\"\n[kernel]\nguard = \"deny\"\n",
            &["kernel.guard", "lsm"],
        ),
        ("[kernel]\nguard = \"on\"\n", &["sensor.toml:2: ", "deny"]),
        (
            "[collector]\naddress = \"127.0.0.1:7443\"\n",
            &["collector.address", "https://HOST:PORT"],
        ),
        (
            "[collector]\naddress = \"http://10.0.0.7:7443\"\n",
            &["collector.address", "unencrypted", "enrol"],
        ),
        (
            "[collector]\naddress = \"http://c:7443\"\n",
            &["collector.address", "loopback"],
        ),
        (
            "[collector]\nidentity = \"identity.pem\"\n",
            &["collector.identity", "not absolute"],
        ),
        (
            "[collector]\naddress = \"http://c\"\n",
            &["collector.address", "port"],
        ),
        (
            "[collector]\naddress = \"http://c:1/x\"\n",
            &["collector.address", "path"],
        ),
        (
            "[collector]\nadress = \"http://c:1\"\n",
            &["sensor.toml:2: ", "adress"],
        ),
        (
            "[privacy]\nnames = \"hash\"\n",
            &["sensor.toml:2: ", "hash", "token"],
        ),
        (
            "[privacy]\nkey_file = \"token.key\"\n",
            &["privacy.key_file", "not absolute"],
        ),
        (
            "[queue]\nevents_max = 0\n",
            &["queue.events_max", "1000 to 100000000"],
        ),
        ("[queue]\nbytes_max = 1\n", &["queue.bytes_max", "1048576"]),
        ("[queue]\ndrain_s = 61\n", &["queue.drain_s", "0 to 60"]),
        ("[queue]\nevents_max = -1\n", &["sensor.toml:2: "]),
        (
            "[kernel]\ntick_ms = 10\n",
            &["kernel.tick_ms", "50 to 5000"],
        ),
        (
            "[kernel]\nbulk_ring_bytes = 100000\n",
            &["kernel.bulk_ring_bytes", "power of two", "131072"],
        ),
        (
            "[kernel]\ncritical_ring_bytes = 4096\n",
            &["kernel.critical_ring_bytes", "65536"],
        ),
        (
            "[[store]]\nname = \"x\"\npath = \"relative\"\n",
            &["store[1].path", "relative", "not absolute"],
        ),
        (
            "[[store]]\nname = \"x\"\npath = \"$R/a/../b\"\n",
            &["store[1].path", "`..`"],
        ),
        (
            "[[store]]\nname = \"x\"\nservice = \"$R/a\"\n",
            &["store[1].executable", "is a directory"],
        ),
        (
            "[[store]]\nname = \"x\"\npath = \"$R/a\"\nservice = \"/bin/sh\"\n",
            &["store[1].executable", "two stores"],
        ),
        (
            "[[store]]\nname = \"x\"\nexecutable = \"/a\"\nunit = \"x.service\"\n",
            &["store[1].executable", "two stores"],
        ),
        (
            "[[store]]\nname = \"x\"\nexecutable = \"/usr/lib/***/x\"\n",
            &["store[1].executable", "wildcards", "[[]"],
        ),
        (
            "[[store]]\nname = \"x\"\nexecutable = \"postgres\"\n",
            &["store[1].executable", "not absolute"],
        ),
        (
            "[[store]]\nname = \"x\"\nunit = \"postgresql\"\n",
            &["store[1].unit", "\"postgresql\"", ".service"],
        ),
        (
            "[[store]]\nname = \"x\"\nunit = \"postgresql@*.service\"\n",
            &["store[1].unit", "slice"],
        ),
        (
            "[[store]]\nname = \"x\"\nunit = \"../x\\u001b.service\"\n",
            &["store[1].unit", "\\u{1b}", "whole name"],
        ),
        (
            "[[store]]\nname = \"x\"\nunit = \"x.service\"\nnames = \"plain\"\n",
            &["store[1].names", "leave it out"],
        ),
        (
            "[kernel]\nquiet_sockets = [\"run/x\"]\n",
            &["kernel.quiet_sockets", "run/x", "not absolute"],
        ),
        (
            "[kernel]\nholders_file = \"holders\"\n",
            &["kernel.holders_file", "not absolute"],
        ),
        (
            "[kernel]\nquiet_ports = [53, 0]\n",
            &["kernel.quiet_ports", "0 is no port", "1 to 65535"],
        ),
        (
            "[kernel]\nquiet_programs = [\"Xorg\"]\n",
            &["kernel.quiet_programs", "Xorg", "not absolute"],
        ),
        (
            "[[store]]\nname = \"x\"\npath = \"$R/none\"\n",
            &["store[1].path", "none", "No such file", "create"],
        ),
        (
            "[[store]]\nname = \"x\"\npath = \"$R/plain\"\n",
            &["store[1].path", "no directory"],
        ),
        (
            "[[store]]\nname = \"x\"\npath = \"/\"\n",
            &["store[1].path", "whole file system"],
        ),
        (
            "[[store]]\nname = \"X\"\npath = \"$R/b\"\n",
            &["store[1].name", "\"X\"", "a-z"],
        ),
        (
            "[[store]]\nname = \"pacs\"\npath = \"$R/b\"\n",
            &["store[2].name", "also the name of store[1]"],
        ),
        (
            "[[store]]\nname = \"x\"\npath = \"$R/a/inner\"\n",
            &["store[2].path", "inside the other"],
        ),
        (
            "[[store]]\nname = \"x\"\npath = \"$R/link\"\n",
            &["store[2].path", "same"],
        ),
        ("[[store]]\nname = \"x\"\n", &["store[1].path", "path"]),
        (&many, &["store: ", "at most 1000"]),
    ];
    for (text, words) in before {
        let error = parse(&place, &format!("{text}{STORE}"))
            .unwrap_err()
            .to_string();
        for word in *words {
            assert!(
                error.contains(word),
                "{text:?} gave {error:?} without {word:?}"
            );
        }
    }
    let error = parse(&place, "").unwrap_err().to_string();
    assert!(error.contains("store: there is none"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::read(Path::new("/nonexistent/sensor.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/nonexistent/sensor.toml: cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn the_sample_is_a_good_configuration_and_states_the_defaults() {
    let place = place();
    let sample = include_str!("../../pkg/sensor.toml").replace("/var/lib/orthanc/db-v6", "$R/a");
    let sampled = parse(&place, &sample).unwrap();
    // With the comment sign taken off its keys it says the same as without: what it shows are the defaults.
    let keyed: String = sample
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with([' ', '\n']) && !rest.is_empty())
                .unwrap_or(line)
        })
        .fold(String::new(), |text, line| text + line + "\n");
    let keyed = parse(&place, &keyed.replace("ward-7-pc-3", "ward-7.example")).unwrap();
    assert_eq!(sampled, keyed);
}
