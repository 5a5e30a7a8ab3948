//! What is taken for told of alerts that go on over days, held against the alerts that are really there.
//!
//! What is usual is kept apart from the alerts, with a note of what was told of *bulk* and *slow*. Alerts may be older than that: a
//! backup of them was put back, or one could not be stored. What they lack was not told, so it is raised again.

use uuid::Uuid;

use super::alert::id_of;
use super::baseline::{self, Baseline, DAY_NS, Told};
use super::pattern::{bulk, slow};

/// What is said to have been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telling {
    /// The alert.
    pub id: Uuid,
    /// What of it.
    pub told: Told,
}

/// What is there of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The revision that was told.
    Whole,
    /// Others, of which this is the highest.
    Others {
        /// Its number.
        revision: u32,
        /// When the alert was first raised, nanoseconds since the Unix epoch.
        raised_ns: u64,
        /// When that revision was.
        revised_ns: u64,
        /// Bytes it says were sent.
        bytes_sent: u64,
    },
    /// Nothing.
    Nothing,
}

/// What is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    /// So many alerts, or revisions of them.
    pub alerts: u64,
    /// The earliest of them is about what was from then on, nanoseconds since the Unix epoch.
    pub since_ns: Option<u64>,
}

impl Missing {
    fn add(&mut self, since_ns: u64) {
        self.alerts += 1;
        self.since_ns = Some(self.since_ns.map_or(since_ns, |known| known.min(since_ns)));
    }
}

/// Takes back what `known` does not find: the next look at who it is about tells it, under the next number.
pub fn recall<E>(
    baseline: &mut Baseline,
    mut known: impl FnMut(&Telling) -> Result<Known, E>,
) -> Result<Missing, E> {
    let mut missing = Missing::default();
    for (sensor, habits) in baseline.hosts_mut() {
        for (habit, days) in &mut habits.reads {
            for day in days.iter_mut().filter(|day| day.told.is_some()) {
                let (name, about) = bulk::about(habit, day.day);
                let id = id_of(name, sensor, &about.each_ref().map(String::as_str));
                // A day is looked at as a whole, so whatever it has come to is more than this.
                if hold(&mut day.told, id, |_| 0, &mut known)? {
                    missing.add(u64::from(day.day) * DAY_NS);
                }
            }
        }
        for (road, leak) in &mut habits.leaks {
            let (name, about) = slow::about(road);
            let id = id_of(name, sensor, &about);
            let last = leak.days.last();
            let since_ns = last.map_or(0, |day| day.span_ns.0);
            if hold(&mut leak.told, id, |bytes| bytes, &mut known)? {
                missing.add(since_ns);
            }
        }
    }
    Ok(missing)
}

/// Holds one against what is there; true when it was not told. `amount` is what is told by a revision that says so many bytes were sent.
fn hold<E>(
    told: &mut Option<Told>,
    id: Uuid,
    amount: impl Fn(u64) -> u64,
    known: &mut impl FnMut(&Telling) -> Result<Known, E>,
) -> Result<bool, E> {
    let Some(said) = *told else {
        return Ok(false);
    };
    match known(&Telling { id, told: said })? {
        Known::Whole => return Ok(false),
        Known::Nothing => *told = None,
        Known::Others {
            revision,
            raised_ns,
            revised_ns,
            bytes_sent,
        } => {
            *told = Some(Told {
                revision,
                raised_ns,
                amount: amount(bytes_sent),
                day: baseline::day(revised_ns),
            });
        }
    }
    Ok(true)
}
