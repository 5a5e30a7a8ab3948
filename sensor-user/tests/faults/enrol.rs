//! The power goes while a sensor enrols: afterwards it has what it had before or all of the new, what it said to be done is done,
//! and it can enrol again.

use std::path::Path;

use sensor_user::link::Files;

use crate::disk::Disk;
use crate::disk::model::Cut;
use crate::real::{self, Real};
use crate::whole::configure;

/// Where the sensor keeps its own on a disk.
const OWN: &str = "var";

/// Whether key, certificate and authority are there and belong together.
fn is_enrolled(disk: &Disk) -> bool {
    let copy = disk.copy();
    let own = copy.path().join(OWN);
    let files = Files {
        identity: own.join("identity.pem"),
        ca: own.join("ca.pem"),
    };
    if !files.identity.exists() {
        return false;
    }
    // A copy does not have the modes.
    let private: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&files.identity, private).unwrap();
    files.check().unwrap();
    true
}

/// Answers whether all was done before the power went at a step, on a new disk or on that of a sensor that is enrolled.
fn enrol(collector: &Real, config: &Path, step: u64, cut: Cut, again: bool) -> bool {
    let mut disk = Disk::new();
    configure(
        config,
        &disk.path().join(OWN),
        collector.port,
        collector.place.path(),
    );
    let enroll = |more: &[&str]| real::enroll(config, &collector.token("sensor-1"), more);
    if again {
        assert_eq!(enroll(&[]).0, 0);
    }
    disk.cut_at(step);
    let (code, said) = enroll(&["--replace"]);
    let all = disk.has_power();
    assert!(code == 0 || !all, "{code}: {said}");
    disk.cut_now();
    disk.power_on(cut);
    assert!(is_enrolled(&disk) || (code != 0 && !again), "{said}");
    let (code, said) = enroll(&["--replace"]);
    assert_eq!(code, 0, "{said}");
    assert!(is_enrolled(&disk));
    let key = std::fs::read(disk.copy().path().join(OWN).join("token.key")).unwrap();
    assert_eq!(key, real::names_key(collector));
    all
}

pub(crate) fn power_goes_at_each_step() {
    let collector = Real::start().unwrap();
    let config = collector.place.path().join("sensor.toml");
    for again in [false, true] {
        let mut step = 0;
        let mut all = false;
        while !all {
            step += 1;
            for cut in [Cut::All, Cut::Some(step)] {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    enrol(&collector, &config, step, cut, again)
                }));
                all = done.unwrap_or_else(|why| {
                    eprintln!(
                        "after a power cut at step {step}, {cut:?}, enrolled before: {again}"
                    );
                    std::panic::resume_unwind(why)
                });
            }
        }
        assert!(step > 5, "{step} steps");
    }
}
