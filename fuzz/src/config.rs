//! Configurations, as an administrator, or whoever can write to their files, may have left them.

use std::path::Path;

use collector::config as collector_room;
use sensor_user::config as sensor_room;

/// Whatever is refused is refused in so many bytes, beside what is quoted of the text.
const REASON_MAX: usize = 4_096;
/// A quoted byte has at most so many, `\u{10ffff}` and the like.
const QUOTED: usize = 10;

/// A file of the sensor. Paths in it are looked for on the machine, and nothing is read or written there.
pub fn sensor_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match sensor_room::Config::parse("sensor.toml", text, "host") {
        Ok(config) => {
            assert!(!config.stores.is_empty() && config.stores.len() <= sensor_room::STORES_MAX);
            assert!(config.kernel.bulk_ring_bytes.is_power_of_two());
            assert!(config.kernel.own_files.is_empty());
        }
        Err(error) => quotes_little(&error.to_string(), text),
    }
}

/// A file of the collector, and the same as a file of approved ways.
pub fn collector_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let path = Path::new("collector.toml");
    let mut config = match collector_room::Config::parse(text, path) {
        Ok(config) => config,
        Err(error) => {
            quotes_little(&error.to_string(), text);
            return;
        }
    };
    assert!(config.horizon >= config.detect.direct.window);
    for way in &config.detect.approved {
        assert!(!way.name.is_empty());
        let shown = way.destination.to_string();
        assert_eq!(shown.parse().as_ref(), Ok(&way.destination), "{shown}");
        if let Some(schedule) = &way.schedule {
            let _holds =
                [0, 1 << 60, u64::MAX].map(|at_ns| (schedule.holds(at_ns), schedule.shown(at_ns)));
        }
    }
    // Its ways are there already.
    let ways = config.detect.approved.len();
    assert!(config.add_approved(text, path).is_err() || ways == 0);
    assert!(config.detect.approved.len() == ways);
}

fn quotes_little(error: &str, text: &str) {
    assert!(
        error.len() <= REASON_MAX + QUOTED * text.len(),
        "{} bytes",
        error.len()
    );
}
