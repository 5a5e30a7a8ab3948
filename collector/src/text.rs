//! How times, byte counts and strings from hosts are written for people, everywhere alike.
//!
//! **Invariant:** what [`clean`] and [`clean_json`] return holds no control character, no bidirectional override and no line break, so
//! a file name or argument cannot move the cursor or hide what follows.

use jiff::Timestamp;

/// A string from a host, safe on a terminal: control and invisible characters are shown as `\u{..}`.
pub fn clean(untrusted: &str) -> String {
    let mut out = String::with_capacity(untrusted.len());
    for c in untrusted.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON, safe on a terminal: what JSON lets through and [`clean`] does not is written as `\uXXXX`, which JSON reads back
/// as the same character. Such characters can stand in strings only, so it is the same value.
pub fn clean_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || is_invisible(c) {
            // All of them lie below U+10000: one escape each.
            out.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                out.extend(char::from_digit(u32::from(c) >> shift & 0xf, 16));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Line and paragraph separators, zero-width characters, and those that turn the writing direction (UAX #9).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// What went wrong and why, each reason once: many errors say that of their cause themselves.
pub fn reasons(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

/// Arguments as one line that a shell would read the same way: quoted where needed.
pub fn command_line(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            argument.clone()
        } else {
            format!("'{}'", clean(argument).replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// A byte count for people, with three digits: `1.21 MB` (decimal, as network people count).
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match unit {
        0 => 0,
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A number with its thousands set apart: `1,234,567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count of things: `1 record`, `2,000 records`.
pub fn count(value: u64, thing: &str) -> String {
    format!(
        "{} {thing}{}",
        number(value),
        if value == 1 { "" } else { "s" }
    )
}

/// A time in UTC to the millisecond: `2026-03-16 03:12:45.123 UTC`.
pub fn time(unix_ns: u64) -> String {
    stamp(unix_ns).map_or_else(
        || "unknown time".into(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S.%3f UTC").to_string(),
    )
}

/// A time of RFC 3339 in UTC with microseconds, the most RFC 5424 allows.
pub fn rfc3339(unix_ns: u64) -> String {
    stamp(unix_ns)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string()
}

/// A time somebody wrote, as nanoseconds since the Unix epoch; `None` when it is no RFC 3339 time since 1970.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let at: Timestamp = text.parse().ok()?;
    u64::try_from(at.as_nanosecond()).ok()
}

/// A length of time for people: `850 ms`, `12.4 s`, `3 min 20 s`, `24 h`, `3 d 4 h`.
pub fn duration(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let two = |large: u64, unit: &str, small: u64, rest: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {rest}"),
    };
    match seconds {
        0 => format!("{} ms", ns / 1_000_000),
        1..60 => format!("{:.1} s", ns as f64 / 1e9),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..172_800 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn stamp(unix_ns: u64) -> Option<Timestamp> {
    if unix_ns == 0 {
        return None;
    }
    Timestamp::from_nanosecond(i128::from(unix_ns)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_reason_is_said_once() {
        let cause = anyhow::anyhow!("no such file");
        let said = cause
            .context("log.db: no such file")
            .context("failed to start");
        assert_eq!(reasons(&said), "failed to start: log.db: no such file");
    }

    #[test]
    fn strings_from_hosts_cannot_play_tricks() {
        let cases = [
            ("plain ünïcode", "plain ünïcode"),
            ("a\nb\r\x1b[2J", "a\\nb\\r\\u{1b}[2J"),
            ("evil\u{202e}fdp.exe", "evil\\u{202e}fdp.exe"),
            (
                "zero\u{200b}width\u{2028}line",
                "zero\\u{200b}width\\u{2028}line",
            ),
            ("\u{9b}31m", "\\u{9b}31m"),
        ];
        for (untrusted, expect) in cases {
            assert_eq!(clean(untrusted), expect);
        }
        let value = serde_json::json!({"a": "x\u{9b}31m\u{202e}\u{7f}\n\u{feff}ü"});
        let line = clean_json(&value.to_string());
        assert_eq!(line, "{\"a\":\"x\\u009b31m\\u202e\\u007f\\n\\ufeffü\"}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).unwrap(),
            value
        );
        let arguments = ["curl", "-F", "a b", "", "it's", "x\ny"].map(String::from);
        assert_eq!(
            command_line(&arguments),
            "curl -F 'a b' '' 'it'\\''s' 'x\\ny'"
        );
    }

    #[test]
    fn numbers_are_written_for_people() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (9_995, "10.0 kB"),
            (65_536, "65.5 kB"),
        ];
        let larger = [
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (1_210_000, "1.21 MB"),
            (u64::MAX, "18447 PB"),
        ];
        for (value, expect) in sizes.into_iter().chain(larger) {
            assert_eq!(bytes(value), expect);
        }
        for (value, expect) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(value), expect);
        }
        assert_eq!(
            (count(1, "record"), count(2000, "record")),
            ("1 record".into(), "2,000 records".into())
        );
    }

    #[test]
    fn times_are_utc() {
        let at = parse_rfc3339("2026-03-16T04:12:45.123456789+01:00").unwrap();
        assert_eq!(time(at), "2026-03-16 03:12:45.123 UTC");
        assert_eq!(rfc3339(at), "2026-03-16T03:12:45.123456Z");
        assert_eq!(time(0), "unknown time");
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(parse_rfc3339("1960-01-01T00:00:00Z"), None);
        let lengths = [
            (850_000_000, "850 ms"),
            (12_400_000_000, "12.4 s"),
            (200_000_000_000, "3 min 20 s"),
        ];
        for (ns, expect) in lengths {
            assert_eq!(duration(ns), expect);
        }
        for (seconds, expect) in [
            (7_500, "2 h 5 min"),
            (86_400, "24 h"),
            (604_800, "7 d"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(duration(seconds * 1_000_000_000), expect);
        }
    }
}
