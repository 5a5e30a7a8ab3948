//! *Doubled*: there are two of what can be there once: a sensor that was copied, put back, or is played by somebody.
//!
//! It fires on what the collector found: other events under numbers that the log holds, or two starts of a sensor that deliver
//! at the same time. What the log held stays. There is one alert for each epoch and kind; it is told again when the conflicts
//! have doubled. Nobody is named: which of the two is the right one cannot be seen from here.
//!
//! False positives: a disk image that is rolled out with the sensor's data on it; enrol each machine after it was copied.
//!
//! ATT&CK: none says exactly this. T1565.001 (Stored Data Manipulation) is the nearest for what was to be put in the place of
//! other events.

use super::About;
use crate::detect::alert::{self, Alert, Confidence, Figures, Level, Path, Severity, Technique};
use crate::detect::host::{Doubled, Host};
use crate::event::ConflictKind;
use crate::intel::Known;
use crate::text;

/// Short name of the pattern.
pub(in crate::detect) const NAME: &str = "doubled";
/// Moves when the meaning of the pattern changes.
const VERSION: u32 = 1;

/// See [`About`].
pub(super) const ABOUT: About = About {
    rule: "",
    name: NAME,
    catches: "a sensor is there twice: other events come under numbers that the log holds, or two starts of it deliver at the same time",
    alert: "its own",
    thresholds: |_| Vec::new(),
    techniques: &[MANIPULATION],
    quiet: "a batch that is sent again is the same bytes, so it is no conflict",
};

const MANIPULATION: Technique = Technique {
    id: "T1565.001",
    name: "Data Manipulation: Stored Data Manipulation",
    tactic_id: "TA0040",
    tactic: "Impact",
};

/// Looks at the conflicts that are new.
pub(in crate::detect) fn judge(host: &mut Host, alerts: &mut Vec<Alert>) {
    let mut all = host.take_doubled();
    for ((epoch, kind), doubled) in &mut all {
        let due = doubled.told == 0 || doubled.times >= doubled.told.saturating_mul(2);
        if doubled.times > doubled.told && due {
            doubled.told = doubled.times;
            doubled.revision += 1;
            alerts.push(alert(host, (epoch, *kind), doubled));
        }
    }
    host.put_doubled(all);
}

fn alert(host: &Host, (epoch, kind): (&[u8; 16], ConflictKind), doubled: &Doubled) -> Alert {
    let epoch = uuid::Uuid::from_bytes(*epoch).to_string();
    Alert {
        id: alert::id_of(NAME, &host.origin().sensor, &[&epoch, kind.name()]),
        revision: doubled.revision,
        pattern: NAME,
        pattern_version: VERSION,
        settled: false,
        raised_ns: doubled.first_ns,
        revised_ns: doubled.last_ns,
        first_ns: doubled.first_ns,
        last_ns: doubled.last_ns,
        origin: host.origin().clone(),
        severity: severity(kind),
        store: String::new(),
        figures: Figures::default(),
        bytes_received: 0,
        flows: 0,
        at_least: Vec::new(),
        names: Vec::new(),
        story: story(host, kind, doubled),
        next_steps: next_steps(host),
        chain: Vec::new(),
        path: Path::default(),
        destination: None,
        destination_name: None,
        attempts: Vec::new(),
        techniques: vec![MANIPULATION],
        gaps: Vec::new(),
        known: Known::default(),
        almost: Vec::new(),
        measured_by: "any events that come under numbers which the log holds with other content, and any two starts of a sensor that deliver at the same time"
            .to_owned(),
    }
}

fn severity(kind: ConflictKind) -> Severity {
    let reason = match kind {
        ConflictKind::TwoPlaces => {
            "Two machines deliver under one name: what is said of either may be about the other."
        }
        ConflictKind::Overlap | ConflictKind::Unknown => {
            "Nothing that this sensor sees is taken in until somebody has looked: what happens on the computer meanwhile is not judged."
        }
    };
    Severity {
        level: Level::High,
        confidence: Confidence::High,
        reasons: vec![reason.to_owned()],
    }
}

fn story(host: &Host, kind: ConflictKind, doubled: &Doubled) -> String {
    let (sensor, name) = (
        text::clean(&host.origin().sensor),
        text::clean(&host.origin().host),
    );
    let why = "That happens when a virtual machine is put back to a snapshot or copied with its sensor in it, and when somebody else speaks in \
               the sensor's name.";
    match kind {
        ConflictKind::TwoPlaces => format!(
            "Two machines delivered at the same time as the sensor \"{sensor}\" (computer {name}). {why}"
        ),
        ConflictKind::Overlap | ConflictKind::Unknown => format!(
            "The sensor \"{sensor}\" (computer {name}) delivered events {} to {} a second time with other content ({} so far). {why} What the log \
             held has stayed as it was; what came was refused, and its sender keeps it.",
            doubled.first_seq,
            doubled.last_seq,
            text::count(doubled.times, "such case"),
        ),
    }
}

fn next_steps(host: &Host) -> Vec<String> {
    let name = text::clean(&host.origin().host);
    let sensor = text::clean(&host.origin().sensor);
    vec![
        format!("Ask whoever runs {name} whether it was put back to a snapshot, or copied."),
        "If so: start the sensor anew on the machine that stays (systemctl restart chartwatch-sensor). It begins with numbers of its own, and \
         what was refused stays on its disk. Give a copy a name and a certificate of its own (chartwatch-sensor enroll)."
            .to_owned(),
        format!(
            "If nobody did it: somebody else has the sensor's key. Revoke it (chartwatch-collector revoke --sensor {sensor}) and look at the computer."
        ),
    ]
}
