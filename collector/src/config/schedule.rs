//! When an approved way may be used: days of the week and hours of the day, in a time zone.
//!
//! **Invariant:** a schedule is judged by the time of events and nothing else. Hours that go over midnight belong to the day on which
//! they begin.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_OF_DAY: u16 = 24 * 60;

/// Days and hours of every week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// From Monday on.
    days: [bool; 7],
    /// Minute of the day from which on it holds.
    begin: u16,
    /// Minute of the day before which it holds; not later than `begin`: of the next day.
    end: u16,
    zone: TimeZone,
    /// Name of the zone, as it was written.
    zone_name: String,
}

/// A schedule that cannot be read; the texts say which key and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// No day of the week.
    #[error("{0:?} is no day; write mon, tue, wed, thu, fri, sat, sun, or a span as mon-fri")]
    Day(String),
    /// A list with nothing in it.
    #[error(
        "is empty, so the way could never be used; write the days, or leave the key out for all of them"
    )]
    NoDay,
    /// No span of hours.
    #[error("{0:?} are no hours; write begin and end as HH:MM-HH:MM, such as 22:00-04:00")]
    Hours(String),
    /// A span without length.
    #[error("{0:?} begins when it ends; leave the key out for the whole day")]
    NoHours(String),
    /// No time zone.
    #[error("{0:?} is no time zone; write a name of the IANA database, such as Europe/Berlin")]
    Zone(String),
}

impl ScheduleError {
    /// Name of the key that is wrong.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Day(_) | Self::NoDay => "days",
            Self::Hours(_) | Self::NoHours(_) => "hours",
            Self::Zone(_) => "time_zone",
        }
    }
}

impl Schedule {
    /// Reads what was written; no days means all of them, no hours the whole day, no zone UTC.
    pub fn read(
        days: Option<&[String]>,
        hours: Option<&str>,
        zone: Option<&str>,
    ) -> Result<Self, ScheduleError> {
        let (begin, end) = hours.map_or(Ok((0, MINUTES_OF_DAY)), span)?;
        let zone_name = zone.unwrap_or("UTC").to_owned();
        let found = TimeZone::get(&zone_name);
        Ok(Self {
            days: days.map_or(Ok([true; 7]), week)?,
            begin,
            end,
            zone: found.map_err(|_| ScheduleError::Zone(zone_name.clone()))?,
            zone_name,
        })
    }

    /// True at a moment, nanoseconds since the Unix epoch.
    pub fn holds(&self, at_ns: u64) -> bool {
        let Some((day, minute)) = self.local(at_ns) else {
            return false;
        };
        let before = (day + 6) % 7;
        if self.begin < self.end {
            self.days[day] && (self.begin..self.end).contains(&minute)
        } else {
            (self.days[day] && minute >= self.begin) || (self.days[before] && minute < self.end)
        }
    }

    /// The moment as the schedule's own clock shows it: `Tue 14:02`.
    pub fn shown(&self, at_ns: u64) -> String {
        self.local(at_ns).map_or_else(String::new, |(day, minute)| {
            format!("{} {}", DAYS[day], clock(minute))
        })
    }

    /// Day of the week from Monday on, and minute of the day.
    fn local(&self, at_ns: u64) -> Option<(usize, u16)> {
        let moment = Timestamp::from_nanosecond(i128::from(at_ns)).ok()?;
        let local = self.zone.to_datetime(moment);
        let day = usize::try_from(local.weekday().to_monday_zero_offset()).ok()?;
        let minute =
            u16::try_from(i16::from(local.hour()) * 60 + i16::from(local.minute())).ok()?;
        Some((day, minute))
    }
}

/// Minutes of the day of `22:00-04:00`; the end may be 24:00.
fn span(text: &str) -> Result<(u16, u16), ScheduleError> {
    let bad = || ScheduleError::Hours(text.to_owned());
    let (begin, end) = text.split_once('-').ok_or_else(bad)?;
    let minutes = |text: &str, last: u16| {
        let (hour, minute) = text.trim().split_once(':')?;
        let digits = |text: &str| {
            let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u16>().ok()).flatten()
        };
        let (hour, minute) = (digits(hour)?, digits(minute)?);
        let all = hour * 60 + minute;
        (minute < 60 && all <= last).then_some(all)
    };
    let begin = minutes(begin, MINUTES_OF_DAY - 1).ok_or_else(bad)?;
    let end = minutes(end, MINUTES_OF_DAY).ok_or_else(bad)?;
    // 23:00-00:00 ends with the day.
    let end = if end == 0 { MINUTES_OF_DAY } else { end };
    if begin == end {
        return Err(ScheduleError::NoHours(text.to_owned()));
    }
    Ok((begin, end))
}

fn week(list: &[String]) -> Result<[bool; 7], ScheduleError> {
    let mut days = [false; 7];
    for text in list {
        let number = |name: &str| {
            let name = name.trim().to_ascii_lowercase();
            let found = DAYS.iter().position(|day| *day == name);
            found.ok_or_else(|| ScheduleError::Day(text.clone()))
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        // fri-mon goes over the weekend.
        let length = (last + 7 - first) % 7;
        for day in 0..=length {
            days[(first + day) % 7] = true;
        }
    }
    if days.contains(&true) {
        Ok(days)
    } else {
        Err(ScheduleError::NoDay)
    }
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days.contains(&false) {
            let days: Vec<&str> = (0..7)
                .filter(|day| self.days[*day])
                .map(|day| DAYS[day])
                .collect();
            write!(f, "{} ", days.join(" "))?;
        }
        write!(
            f,
            "{}-{} {}",
            clock(self.begin),
            clock(self.end),
            self.zone_name
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn schedule(days: &[&str], hours: &str, zone: &str) -> Schedule {
        let days: Vec<String> = days.iter().map(|&day| day.to_owned()).collect();
        Schedule::read(Some(&days), Some(hours), Some(zone)).unwrap()
    }

    fn at(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        // 2026-11-27 is a Friday.
        let nights = schedule(&["fri"], "22:00-04:00", "UTC");
        for (moment, holds) in [
            ("2026-11-27T21:59:59Z", false),
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T03:59:59Z", true),
            ("2026-11-28T04:00:00Z", false),
            ("2026-11-27T03:00:00Z", false),
            ("2026-11-28T23:00:00Z", false),
        ] {
            assert_eq!(nights.holds(at(moment)), holds, "{moment}");
        }
    }

    #[test]
    fn hours_are_those_of_the_zone_in_summer_and_winter() {
        let morning = schedule(&["mon-sun"], "08:00-09:00", "Europe/Berlin");
        assert!(morning.holds(at("2026-07-01T06:30:00Z")));
        assert!(morning.holds(at("2026-12-01T07:30:00Z")));
        assert!(!morning.holds(at("2026-12-01T06:30:00Z")));
        assert_eq!(morning.shown(at("2026-12-01T06:30:00Z")), "tue 07:30");
    }

    #[test]
    fn days_may_be_spans_over_the_weekend() {
        let shown = |days: &[&str]| schedule(days, "00:00-24:00", "UTC").to_string();
        assert_eq!(shown(&["fri-mon"]), "mon fri sat sun 00:00-24:00 UTC");
        assert_eq!(shown(&["Mon", "wed"]), "mon wed 00:00-24:00 UTC");
        assert_eq!(shown(&["mon-sun"]), "00:00-24:00 UTC");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let read = |days: &[&str], hours: &str, zone: &str| {
            let days: Vec<String> = days.iter().map(|&day| day.to_owned()).collect();
            let error = Schedule::read(Some(&days), Some(hours), Some(zone)).unwrap_err();
            (error.key(), error.to_string())
        };
        for (days, hours, zone, key, said) in [
            (["mo"].as_slice(), "22:00-04:00", "UTC", "days", "mon-fri"),
            (&[], "22:00-04:00", "UTC", "days", "never"),
            (&["mon"], "22-4", "UTC", "hours", "HH:MM-HH:MM"),
            (&["mon"], "25:00-04:00", "UTC", "hours", "HH:MM-HH:MM"),
            (&["mon"], "+1:00-04:00", "UTC", "hours", "HH:MM-HH:MM"),
            (&["mon"], "04:00-04:00", "UTC", "hours", "whole day"),
            (
                &["mon"],
                "22:00-04:00",
                "Mars/Olympus",
                "time_zone",
                "Europe/Berlin",
            ),
        ] {
            let (found, text) = read(days, hours, zone);
            assert_eq!(found, key, "{text}");
            assert!(text.contains(said), "{text}");
        }
    }
}
