//! What is usual: who reads how much of a store on a day, where holders of records have sent to before, and how little by little
//! what they read has left. Learned from the log, over boots, by day of event time (UTC), and forgotten after [`DAYS`].
//!
//! What is learned of hosts is theirs, but a program that has read nothing on one yet is held against what it reads on the others; places are
//! known to the whole fleet, so that a new host does not make a known archive a new place. `[[detect.relearn]]` lets what was before a time count for nothing.
//!
//! **Invariant:** a pure function of the events in log order. Memory is bounded; what was longest unused is forgotten first and counted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::config::BASELINE_DAYS;

/// Days that are remembered.
pub const DAYS: u32 = BASELINE_DAYS;
/// One day, nanoseconds.
pub const DAY_NS: u64 = 86_400 * 1_000_000_000;
/// Habits of one host, and as many ways of leaking.
const HABITS_PER_HOST: usize = 4_096;
/// Hosts of the fleet.
const HOSTS: usize = 16_384;
/// 2020-01-01: what a host says that has no clock yet is from no day.
const FIRST_DAY: u32 = 18_262;
/// From so many days at once on a clock is wrong.
const JUMP_DAYS: u32 = 730;
/// On so many other hosts a program must have read for what it reads there to be usual.
const FLEET_HOSTS: usize = 3;
/// Places of the fleet.
const PLACES: usize = 262_144;
/// Of so many bits addresses are one place.
const PLACE_BITS: (u8, u8) = (24, 48);

/// Everything that was learned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// By sensor.
    hosts: BTreeMap<String, Habits>,
    #[serde(with = "pairs")]
    places: BTreeMap<PlaceKey, Seen>,
    /// How each approved way is used, by its name.
    pub ways: BTreeMap<String, WayUse>,
    /// First day of all; `None` before there is one.
    pub first_day: Option<u32>,
    last_day: Option<u32>,
    /// Habits, leaks and places that were forgotten to bound memory.
    pub forgotten: u64,
}

/// What was learned of one host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Habits {
    /// Day it was first heard of, days since the Unix epoch.
    pub first_day: u32,
    /// Day it was last heard of.
    pub last_day: u32,
    /// Who reads how much.
    #[serde(with = "pairs")]
    pub reads: BTreeMap<Habit, Vec<ReadDay>>,
    /// What leaves little by little.
    #[serde(with = "pairs")]
    pub leaks: BTreeMap<Road, Leak>,
}

/// Who reads a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Habit {
    /// The store.
    pub store: String,
    /// Absolute path of the executable.
    pub executable: String,
    /// Name of the user, or the number where the host has no name for it.
    pub user: String,
}

/// What was read on a day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadDay {
    /// Days since the Unix epoch.
    pub day: u32,
    /// Records, each once for every process that read it on this day.
    pub records: u64,
    /// Bytes read and mapped.
    pub bytes: u64,
    /// The alert about it, as it was last told.
    pub told: Option<Told>,
}

/// From whom to where records leak.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Road {
    /// The store.
    pub store: String,
    /// The user.
    pub user: String,
    /// The network, or the medium, it leads to.
    pub network: String,
}

/// What went over a road that no other pattern told of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// Its days, in order.
    pub days: Vec<LeakDay>,
    /// The alert about it, as it was last told.
    pub told: Option<Told>,
}

/// What went over a road on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeakDay {
    /// Days since the Unix epoch.
    pub day: u32,
    /// First and last time, nanoseconds since the Unix epoch.
    pub span_ns: (u64, u64),
    /// How much.
    pub leaked: Leaked,
}

/// How much leaked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaked {
    /// Bytes sent, as far as as many were read.
    pub bytes: u64,
    /// Bytes of records that were read for it.
    pub taken: u64,
    /// Distinct records, each once for every process.
    pub records: u64,
    /// Processes, or lineages of several.
    pub times: u64,
}

/// An alert as it was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its revision.
    pub revision: u32,
    /// When it was first raised, nanoseconds since the Unix epoch.
    pub raised_ns: u64,
    /// What it was about, so many records or bytes.
    pub amount: u64,
    /// Day of the telling, days since the Unix epoch.
    pub day: u32,
}

/// How an approved way is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayUse {
    /// Day since which it is known.
    pub since_day: u32,
    /// Days on which it was used, the latest ones.
    pub days: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct PlaceKey {
    executable: String,
    network: IpNet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    first_ns: u64,
    last_day: u32,
}

/// The day of a time in nanoseconds since the Unix epoch.
pub fn day(at_ns: u64) -> u32 {
    u32::try_from(at_ns / DAY_NS).unwrap_or(u32::MAX)
}

/// The network that stands for a place.
pub fn network(address: IpAddr) -> IpNet {
    let (v4, v6) = PLACE_BITS;
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Net::new_assert(address, v4).trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, v6).trunc().into(),
    }
}

impl Told {
    /// The next telling, at whatever amount it has come to.
    #[must_use]
    pub fn again(self, amount: u64, at_ns: u64) -> Self {
        Self {
            revision: self.revision + 1,
            amount,
            day: day(at_ns),
            ..self
        }
    }

    /// The next telling, if the amount is worth one: it is the first, or it has doubled.
    pub fn next(told: Option<Self>, amount: u64, at_ns: u64) -> Option<Self> {
        match told {
            None => Some(Self {
                revision: 1,
                raised_ns: at_ns,
                amount,
                day: day(at_ns),
            }),
            Some(before) if amount >= before.amount.saturating_mul(2) => {
                Some(before.again(amount, at_ns))
            }
            Some(_) => None,
        }
    }
}

impl Baseline {
    /// Something was heard of a host.
    pub fn heard(&mut self, sensor: &str, at_ns: u64) {
        let day = day(at_ns);
        if day < FIRST_DAY {
            return;
        }
        self.last_day = self.last_day.max(Some(day));
        self.first_day = Some(self.first_day.map_or(day, |first| first.min(day)));
        if let Some(habits) = self.hosts.get_mut(sensor) {
            habits.last_day = habits.last_day.max(day);
        } else {
            if self.hosts.len() >= HOSTS {
                self.forgotten += forget(&mut self.hosts, |habits| Some(habits.last_day));
            }
            let new = Habits {
                first_day: day,
                last_day: day,
                ..Habits::default()
            };
            self.hosts.insert(sensor.to_owned(), new);
        }
    }

    /// A process read, and so many of the records for the first time.
    pub fn read(&mut self, sensor: &str, habit: &Habit, today: u32, records: u64, bytes: u64) {
        let Some(habits) = self.hosts.get_mut(sensor) else {
            return;
        };
        if !habits.reads.contains_key(habit) && habits.reads.len() >= HABITS_PER_HOST {
            self.forgotten += forget(&mut habits.reads, |days| days.last().map(|last| last.day));
        }
        let days = habits.reads.entry(habit.clone()).or_default();
        let new = || ReadDay {
            day: today,
            ..ReadDay::default()
        };
        let of_day = on(days, today, |day| day.day, new);
        of_day.records = of_day.records.saturating_add(records);
        of_day.bytes = of_day.bytes.saturating_add(bytes);
    }

    /// The day of a habit, if it has one.
    pub fn day_mut(&mut self, sensor: &str, habit: &Habit, day: u32) -> Option<&mut ReadDay> {
        let days = self.hosts.get_mut(sensor)?.reads.get_mut(habit)?;
        days.iter_mut().find(|known| known.day == day)
    }

    /// Most records a habit had on one day before this one, from the day `since` on; of a user who has none yet, what other users of the
    /// host had with the same program.
    pub fn usual(&self, sensor: &str, habit: &Habit, today: u32, since: u32) -> u64 {
        let since = since.max(today.saturating_sub(DAYS));
        let most = |days: &Vec<ReadDay>| {
            let earlier = days
                .iter()
                .filter(|known| (since..today).contains(&known.day));
            earlier.map(|known| known.records).max().unwrap_or(0)
        };
        let Some(habits) = self.hosts.get(sensor) else {
            return 0;
        };
        let own = habits.reads.get(habit).map_or(0, most);
        let same =
            |other: &&Habit| (&other.store, &other.executable) == (&habit.store, &habit.executable);
        let others = || habits.reads.iter().filter(|(other, _)| same(other));
        match own {
            0 => others().map(|(_, days)| most(days)).max().unwrap_or(0),
            own => own,
        }
    }

    /// What a program reads of a store on its fullest day on other hosts, the middle of them, from the day `since` on; `None` when it does on
    /// fewer than [`FLEET_HOSTS`], which says nothing of what is usual.
    pub fn usual_elsewhere(
        &self,
        sensor: &str,
        habit: &Habit,
        today: u32,
        since: u32,
    ) -> Option<u64> {
        let days = since.max(today.saturating_sub(DAYS))..today;
        let of_host = |habits: &Habits| {
            let same = habits.reads.iter().filter(|(other, _)| {
                (&other.store, &other.executable) == (&habit.store, &habit.executable)
            });
            let read = same.flat_map(|(_, known)| known);
            let read = read.filter(|known| days.contains(&known.day));
            read.map(|known| known.records).max()
        };
        let others = self.hosts.iter().filter(|(name, _)| *name != sensor);
        let mut fullest: Vec<u64> = others.filter_map(|(_, habits)| of_host(habits)).collect();
        fullest.sort_unstable();
        // Of an even number the smaller one.
        let middle = fullest.len().checked_sub(1)? / 2;
        (fullest.len() >= FLEET_HOSTS).then(|| fullest[middle])
    }

    /// True when a host has been heard of for so many days, from the day `since` on.
    pub fn knows(&self, sensor: &str, today: u32, learning_days: u32, since: u32) -> bool {
        let habits = self.hosts.get(sensor);
        habits.is_some_and(|habits| {
            today >= habits.first_day.max(since).saturating_add(learning_days)
        })
    }

    /// A holder of records sends there; true when no host has seen such a program do so until a day ago, and the fleet has been heard
    /// of for so many days.
    pub fn visit(
        &mut self,
        executable: &str,
        address: IpAddr,
        at_ns: u64,
        learning_days: u32,
    ) -> bool {
        let today = day(at_ns);
        let key = PlaceKey {
            executable: executable.to_owned(),
            network: network(address),
        };
        if !self.places.contains_key(&key) && self.places.len() >= PLACES {
            self.forgotten += forget(&mut self.places, |seen| Some(seen.last_day));
        }
        let new = Seen {
            first_ns: at_ns,
            last_day: today,
        };
        let seen = self.places.entry(key).or_insert(new);
        match today.saturating_sub(seen.last_day) {
            0..=DAYS => {}
            // A clock that is years ahead says nothing of a place.
            JUMP_DAYS.. => return false,
            _ => *seen = new,
        }
        seen.last_day = seen.last_day.max(today);
        let is_new = at_ns < seen.first_ns.saturating_add(DAY_NS);
        let first = self.first_day.unwrap_or(today);
        is_new && today >= first.saturating_add(learning_days)
    }

    /// There is an approved way. There are no more of them than the configuration had in all this time.
    pub fn know_way(&mut self, way: &str) {
        let since_day = self.last_day.unwrap_or(0);
        let new = || WayUse {
            since_day,
            days: Vec::new(),
        };
        self.ways.entry(way.to_owned()).or_insert_with(new);
    }

    /// An approved way was used.
    pub fn used(&mut self, way: &str, at_ns: u64) {
        let today = day(at_ns);
        self.know_way(way);
        if let Some(known) = self.ways.get_mut(way) {
            on(&mut known.days, today, |day| *day, || today);
        }
    }

    /// True when a way was not used for so many days, and has been known for longer.
    pub fn is_unused(&self, way: &str, for_days: u32) -> bool {
        let last = self.last_day.unwrap_or(0);
        self.ways.get(way).is_some_and(|known| {
            let used = known.days.last().copied().unwrap_or(0).max(known.since_day);
            used.saturating_add(for_days) < last
        })
    }

    /// More has leaked over a road.
    pub fn leak(&mut self, sensor: &str, road: &Road, span_ns: (u64, u64), leaked: Leaked) {
        let Some(habits) = self.hosts.get_mut(sensor) else {
            return;
        };
        if !habits.leaks.contains_key(road) && habits.leaks.len() >= HABITS_PER_HOST {
            self.forgotten += forget(&mut habits.leaks, |leak| {
                leak.days.last().map(|last| last.day)
            });
        }
        let today = day(span_ns.1);
        let days = &mut habits.leaks.entry(road.clone()).or_default().days;
        let new = || LeakDay {
            day: today,
            span_ns,
            leaked: Leaked::default(),
        };
        let of_day = on(days, today, |day| day.day, new);
        of_day.span_ns.0 = of_day.span_ns.0.min(span_ns.0);
        of_day.span_ns.1 = of_day.span_ns.1.max(span_ns.1);
        of_day.leaked.add(leaked);
    }

    /// What leaked over a road within so many days before a time, and the first and last time of it.
    pub fn leaked(&self, sensor: &str, road: &Road, last_day: u32, days: u32) -> Option<LeakDay> {
        let leak = self.hosts.get(sensor)?.leaks.get(road)?;
        let first_day = last_day.saturating_sub(days - 1);
        let within = leak.days.iter();
        let within = within.filter(|known| (first_day..=last_day).contains(&known.day));
        within.copied().reduce(|mut sum, next| {
            sum.leaked.add(next.leaked);
            sum.span_ns.0 = sum.span_ns.0.min(next.span_ns.0);
            sum.span_ns.1 = sum.span_ns.1.max(next.span_ns.1);
            sum
        })
    }

    /// The alert about a road.
    pub fn leak_told(&mut self, sensor: &str, road: &Road) -> Option<&mut Option<Told>> {
        let leak = self.hosts.get_mut(sensor)?.leaks.get_mut(road)?;
        Some(&mut leak.told)
    }

    /// All hosts, by sensor, to be changed.
    pub(super) fn hosts_mut(&mut self) -> impl Iterator<Item = (&str, &mut Habits)> {
        let hosts = self.hosts.iter_mut();
        hosts.map(|(sensor, habits)| (sensor.as_str(), habits))
    }

    /// All hosts, by sensor.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, &Habits)> {
        self.hosts
            .iter()
            .map(|(sensor, habits)| (sensor.as_str(), habits))
    }
}

impl Leaked {
    /// What is new since it was `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            taken: self.taken.saturating_sub(before.taken),
            records: self.records.saturating_sub(before.records),
            times: self.times.saturating_sub(before.times),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.taken = self.taken.saturating_add(other.taken);
        self.records = self.records.saturating_add(other.records);
        self.times = self.times.saturating_add(other.times);
    }
}

/// The entry of a day, made in its place when it is new. Of more than are remembered the first goes, by number and not by age: one clock
/// that is years ahead then costs one day.
fn on<T>(days: &mut Vec<T>, today: u32, of: fn(&T) -> u32, new: impl Fn() -> T) -> &mut T {
    let is_new = days.binary_search_by_key(&today, of).is_err();
    if is_new && days.len() > DAYS as usize {
        days.remove(0);
    }
    let place = days.binary_search_by_key(&today, of);
    let index = place.unwrap_or_else(|index| {
        days.insert(index, new());
        index
    });
    &mut days[index]
}

/// Lets go the eighth that was longest unused; gives how many.
fn forget<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, last: impl Fn(&V) -> Option<u32>) -> u64 {
    let mut order: Vec<(Option<u32>, K)> = map
        .iter()
        .map(|(key, value)| (last(value), key.clone()))
        .collect();
    order.sort_unstable();
    order.truncate(map.len().div_ceil(8));
    for (_, key) in &order {
        map.remove(key);
    }
    order.len() as u64
}

/// Maps as lists of pairs: keys of several fields are no keys of JSON.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::<(K, V)>::deserialize(from).map(|pairs| pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOW: u64 = 20_000 * DAY_NS;

    fn habit(user: &str) -> Habit {
        Habit {
            store: "pacs".into(),
            executable: "/usr/bin/cat".into(),
            user: user.into(),
        }
    }

    #[test]
    fn the_most_of_earlier_days_is_usual_and_old_days_are_forgotten() {
        let mut baseline = Baseline::default();
        baseline.heard("a", NOW);
        for (after, records) in [(0, 5), (1, 9), (2, 1), (1, 2)] {
            baseline.read("a", &habit("anna"), 20_000 + after, records, 10);
        }
        let usual = |baseline: &Baseline, today| baseline.usual("a", &habit("anna"), today, 0);
        assert_eq!(usual(&baseline, 20_000), 0);
        assert_eq!(usual(&baseline, 20_001), 5);
        assert_eq!(usual(&baseline, 20_002), 11);
        assert_eq!(baseline.usual("a", &habit("anna"), 20_003, 20_002), 1);
        baseline.read("a", &habit("anna"), 20_040, 1, 1);
        assert_eq!(usual(&baseline, 20_041), 1);
        assert!(baseline.knows("a", 20_007, 7, 0) && !baseline.knows("a", 20_006, 7, 0));
        assert!(!baseline.knows("a", 20_010, 7, 20_005));
    }

    #[test]
    fn a_place_is_new_for_a_day_and_again_when_it_was_forgotten() {
        let mut baseline = Baseline::default();
        baseline.heard("a", NOW);
        let to = |last: u8| IpAddr::from([203, 0, 113, last]);
        let mut visit = |last, after: u64, executable: &str| {
            baseline.visit(executable, to(last), NOW + after * DAY_NS, 7)
        };
        assert!(!visit(1, 6, "curl"), "still learning");
        assert!(!visit(2, 8, "curl"), "the same network");
        assert!(visit(2, 8, "wget"));
        assert!(!visit(2, 9, "wget"));
        assert!(
            visit(2, 40, "wget"),
            "not seen for longer than is remembered"
        );
    }

    #[test]
    fn it_is_the_same_after_it_was_written_and_read() {
        let mut baseline = Baseline::default();
        baseline.heard("a", NOW);
        baseline.read("a", &habit("anna"), 20_000, 5, 10);
        baseline.visit("curl", IpAddr::from([203, 0, 113, 1]), NOW, 0);
        let road = Road {
            store: "pacs".into(),
            user: "anna".into(),
            network: "203.0.113.0/24".into(),
        };
        let leaked = Leaked {
            bytes: 7,
            taken: 8,
            records: 1,
            times: 1,
        };
        baseline.leak("a", &road, (NOW, NOW + 5), leaked);
        let text = serde_json::to_string(&baseline).unwrap();
        assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), baseline);
        let sum = baseline.leaked("a", &road, 20_001, 2).unwrap();
        assert_eq!((sum.leaked, sum.span_ns), (leaked, (NOW, NOW + 5)));
        assert_eq!(baseline.leaked("a", &road, 20_014, 2), None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_counted() {
        let mut baseline = Baseline::default();
        baseline.heard("a", NOW);
        for number in 0..HABITS_PER_HOST as u64 + 10 {
            let user = habit(&number.to_string());
            baseline.read("a", &user, 20_000, 1, 1);
        }
        let (_, habits) = baseline.hosts().next().unwrap();
        assert!(habits.reads.len() <= HABITS_PER_HOST);
        assert_eq!(
            habits.reads.len() as u64 + baseline.forgotten,
            HABITS_PER_HOST as u64 + 10
        );
    }
}
