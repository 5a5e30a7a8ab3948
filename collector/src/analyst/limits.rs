//! What one analyst may have the collector do: commands at a time, commands in a row, tokens turned back. So nobody is held up by another analyst, and who
//! has got hold of a certificate cannot carry all names away in an afternoon.
//!
//! It is kept in memory, by the name in the certificate, and begins anew with the collector.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Command;

/// Commands at a time, of all analysts, and of these that work through the log.
const COMMANDS_MAX: usize = 16;
const LONG_MAX: usize = 2;
/// The same of one analyst: as many as a connection carries, and one.
pub(super) const COMMANDS_EACH: usize = 4;
const LONG_EACH: usize = 1;
/// Commands of one analyst in a row, and after them in a second.
const IN_A_ROW: u32 = 120;
const PER_S: f64 = 1.0;
/// Tokens that one analyst turns back in a row, and after them in an hour.
const TOKENS: u32 = 4_096;
/// Analysts that are told apart; who does nothing at the moment is forgotten first.
const APART_MAX: usize = 1_024;

/// Why a command has to wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// All analysts together have too many running.
    #[error("too many commands run at the moment; try again shortly")]
    Busy,
    /// One has.
    #[error("{0} has {COMMANDS_EACH} commands running, and one more only when one has ended")]
    AtOnce(Arc<str>),
    /// One has one running that works through the log.
    #[error(
        "{0} has a command running that works through the log (replay, events, audit verify, approve), and another one only when it has ended"
    )]
    Long(Arc<str>),
    /// They come too fast.
    #[error(
        "more commands of {0} than {IN_A_ROW} in a row and then one a second; try again in {1} s"
    )]
    Fast(Arc<str>, u64),
    /// Too many names.
    #[error(
        "{who} may have {TOKENS} tokens turned back in an hour, and {asked} are more than is left of these; {when}"
    )]
    Tokens {
        /// Who asks.
        who: Arc<str>,
        /// For how many.
        asked: u64,
        /// When there is room for them.
        when: String,
    },
}

/// What a command holds while it runs.
pub(super) type Permits = Vec<OwnedSemaphorePermit>;

/// The limits of all.
#[derive(Debug)]
pub(super) struct Limits {
    all: Semaphores,
    each: Mutex<BTreeMap<Arc<str>, Arc<Own>>>,
}

/// One analyst's part.
#[derive(Debug, Clone)]
pub struct Share {
    name: Arc<str>,
    own: Arc<Own>,
}

#[derive(Debug)]
struct Own {
    running: Semaphores,
    pace: Mutex<Bucket>,
    tokens: Mutex<Bucket>,
}

#[derive(Debug)]
struct Semaphores {
    commands: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Semaphores {
    fn new(commands: usize, long: usize) -> Self {
        Self {
            commands: Arc::new(Semaphore::new(commands)),
            long: Arc::new(Semaphore::new(long)),
        }
    }
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            all: Semaphores::new(COMMANDS_MAX, LONG_MAX),
            each: Mutex::default(),
        }
    }

    /// The part of who has a certificate under a name.
    pub(super) fn of(&self, name: &Arc<str>) -> Share {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if each.len() >= APART_MAX && !each.contains_key(name) {
            let now = Instant::now();
            each.retain(|_, own| !own.is_idle(now));
        }
        let own = each
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Own::new()));
        Share {
            name: name.clone(),
            own: own.clone(),
        }
    }

    /// Lets a command run now, or says why not.
    pub(super) fn run(&self, share: &Share, command: &Command) -> Result<Permits, TooMuch> {
        let take =
            |from: &Arc<Semaphore>, or: TooMuch| from.clone().try_acquire_owned().map_err(|_| or);
        let (own, name) = (&share.own.running, || share.name.clone());
        let mut permits = vec![take(&own.commands, TooMuch::AtOnce(name()))?];
        if command.is_long() {
            permits.push(take(&own.long, TooMuch::Long(name()))?);
            permits.push(take(&self.all.long, TooMuch::Busy)?);
        }
        permits.push(take(&self.all.commands, TooMuch::Busy)?);
        Ok(permits)
    }
}

impl Share {
    /// Counts one command; refused when they come too fast.
    pub(super) fn come(&self) -> Result<(), TooMuch> {
        let mut pace = self.own.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let come = pace.take(Instant::now(), 1);
        come.map_err(|wait| TooMuch::Fast(self.name.clone(), seconds(wait)))
    }

    /// Counts tokens that are to be turned back; refused when they are too many.
    pub(super) fn turn_back(&self, asked: u64) -> Result<(), TooMuch> {
        let mut tokens = self
            .own
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let taken = tokens.take(Instant::now(), asked);
        taken.map_err(|wait| TooMuch::Tokens {
            who: self.name.clone(),
            asked,
            when: if asked > u64::from(TOKENS) {
                "ask in parts".to_owned()
            } else {
                format!(
                    "there is room for them in {} min",
                    seconds(wait).div_ceil(60)
                )
            },
        })
    }
}

/// Whole seconds, at least one.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

impl Own {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            running: Semaphores::new(COMMANDS_EACH, LONG_EACH),
            pace: Mutex::new(Bucket::full(now, IN_A_ROW, PER_S)),
            tokens: Mutex::new(Bucket::full(now, TOKENS, f64::from(TOKENS) / 3_600.0)),
        }
    }

    /// Whether it is as if it were made now.
    fn is_idle(&self, now: Instant) -> bool {
        let is_full = |bucket: &Mutex<Bucket>| {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.fill(now);
            bucket.level >= bucket.most
        };
        self.running.commands.available_permits() == COMMANDS_EACH
            && is_full(&self.pace)
            && is_full(&self.tokens)
    }
}

/// Fills up with time, and is taken from.
#[derive(Debug)]
struct Bucket {
    level: f64,
    most: f64,
    per_s: f64,
    at: Instant,
}

impl Bucket {
    fn full(now: Instant, most: u32, per_s: f64) -> Self {
        let most = f64::from(most);
        Self {
            level: most,
            most,
            per_s,
            at: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + since * self.per_s).min(self.most);
        self.at = now;
    }

    /// Takes some, or says after how long there will be enough.
    fn take(&mut self, now: Instant, count: u64) -> Result<(), Duration> {
        self.fill(now);
        // Far below 2^53 in anything that fits into a message.
        let count = count as f64;
        if count <= self.level {
            self.level -= count;
            return Ok(());
        }
        Err(Duration::from_secs_f64((count - self.level) / self.per_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_is_in_it_and_fills_with_time() {
        let now = Instant::now();
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        let mut bucket = Bucket::full(now, 10, 2.0);
        assert_eq!(bucket.take(now, 10), Ok(()));
        assert_eq!(bucket.take(now, 1), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(after(1), 2), Ok(()));
        assert!(
            bucket.take(after(1), 1).is_err(),
            "what was refused was not taken"
        );
        assert_eq!(bucket.take(after(1_000), 10), Ok(()), "no more than full");
        assert!(bucket.take(after(1_000), 1).is_err());
        assert!(bucket.take(after(2_000), 11).is_err(), "never");
        assert_eq!(
            bucket.take(now, 10),
            Ok(()),
            "a clock that goes back takes nothing away"
        );
    }

    #[test]
    fn one_analyst_leaves_room_for_others() {
        let limits = Limits::new();
        let names: Vec<Arc<str>> = ["anna", "tom", "rita", "otto", "eve"].map(Arc::from).into();
        let (anna, tom) = (limits.of(&names[0]), limits.of(&names[1]));
        let short = Command::Alerts { json: false };
        let long = Command::Events {
            from_ns: None,
            to_ns: None,
        };
        let why = |share: &Share, command: &Command| limits.run(share, command).err();
        let first = limits.run(&anna, &long).unwrap();
        assert_eq!(why(&anna, &long), Some(TooMuch::Long("anna".into())));
        let second = limits.run(&tom, &long).unwrap();
        assert_eq!(why(&limits.of(&names[2]), &long), Some(TooMuch::Busy));
        // What was refused holds nothing.
        drop(first);
        assert_eq!(why(&tom, &long), Some(TooMuch::Long("tom".into())));
        let third = limits.run(&limits.of(&names[2]), &long).unwrap();
        let mut held: Vec<Permits> = vec![second, third];
        for _ in 0..COMMANDS_EACH {
            held.push(limits.run(&limits.of(&names[0]), &short).unwrap());
        }
        assert_eq!(why(&anna, &short), Some(TooMuch::AtOnce("anna".into())));
        // All together have no more than there are.
        for name in &names[1..] {
            while let Ok(permits) = limits.run(&limits.of(name), &short) {
                held.push(permits);
            }
        }
        assert_eq!(held.len(), COMMANDS_MAX);
        assert_eq!(why(&limits.of(&"mia".into()), &short), Some(TooMuch::Busy));
    }

    #[test]
    fn commands_and_tokens_are_counted_for_each() {
        let limits = Limits::new();
        let anna = limits.of(&"anna".into());
        let come = (0..1_000).take_while(|_| anna.come().is_ok()).count();
        assert!((IN_A_ROW as usize..1_000).contains(&come), "{come}");
        assert!(matches!(anna.come(), Err(TooMuch::Fast(..))));
        assert_eq!(limits.of(&"tom".into()).come(), Ok(()));
        assert_eq!(anna.turn_back(4_000), Ok(()));
        let refused = anna.turn_back(1_000).unwrap_err().to_string();
        assert!(refused.contains("room for them in"), "{refused}");
        let refused = anna.turn_back(100_000).unwrap_err().to_string();
        assert!(refused.contains("ask in parts"), "{refused}");
    }

    #[test]
    fn those_who_do_nothing_are_forgotten() {
        let limits = Limits::new();
        let busy = limits.of(&"busy".into());
        assert_eq!(busy.come(), Ok(()));
        for number in 0..APART_MAX * 2 {
            limits.of(&number.to_string().into());
        }
        let each = limits.each.lock().unwrap();
        assert!(each.len() <= APART_MAX && each.contains_key("busy"));
    }
}
