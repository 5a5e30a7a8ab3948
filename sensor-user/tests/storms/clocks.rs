//! Storms while the machine sleeps or somebody sets its clock.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::forest;
use crate::tally::Tally;
use crate::watch::{Watch, same};

/// When the machine is to wake, seconds from now; and what makes it sleep (suspend to memory).
const ALARM: &str = "/sys/class/rtc/rtc0/wakealarm";
const STATE: &str = "/sys/power/state";
/// How often it sleeps, and for how long.
const TIMES: u32 = 2;
const SECONDS: u32 = 3;
/// Ten years.
const YEARS: i64 = 10 * 365 * 86_400;

/// The store is read while `happens` does.
fn meanwhile(watch: &mut Watch, happens: fn() -> std::io::Result<()>) -> Result<(), Failed> {
    let readers = forest::readers(watch, 2)?;
    let pids: Vec<u32> = readers.iter().map(Child::id).collect();
    let other = thread::spawn(happens);
    let tally = Tally::storm(watch, readers)?;
    other.join().map_err(|_| "it panicked")??;
    same("losses", &tally.lost, &BTreeMap::new())?;
    forest::exact(&tally, &pids)
}

/// The machine sleeps while the store is read.
pub(crate) fn sleep(watch: &mut Watch) -> Result<(), Failed> {
    let asleep = || {
        let since = |clock| clock_gettime(clock).tv_sec;
        since(ClockId::Boottime) - since(ClockId::Monotonic)
    };
    let before = asleep();
    meanwhile(watch, || {
        for _ in 0..TIMES {
            thread::sleep(Duration::from_millis(300));
            fs::write(ALARM, "0")?;
            fs::write(ALARM, format!("+{SECONDS}"))?;
            fs::write(STATE, "mem")?;
        }
        Ok(())
    })?;
    // The alarm has whole seconds, so each sleep can be one shorter.
    let least = i64::from(TIMES * (SECONDS - 1));
    let slept = asleep() - before;
    if slept < least {
        return Err(format!("the machine slept {slept} s, not {least} s").into());
    }
    Ok(())
}

/// Somebody sets the clock ten years ahead, and then ten years back.
pub(crate) fn steps(watch: &mut Watch) -> Result<(), Failed> {
    meanwhile(watch, || {
        for by in [YEARS, -2 * YEARS, YEARS] {
            thread::sleep(Duration::from_millis(300));
            let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
            let tv_sec = tv_sec + by;
            clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec })?;
        }
        Ok(())
    })
}
