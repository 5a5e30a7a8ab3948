//! A message of RFC 5424, framed by octet counting (RFC 6587, 3.4.1), so that any byte may be in it.

use crate::text;

/// What becomes one message.
#[derive(Debug)]
pub struct Message<'a> {
    /// Facility number, 0 to 23.
    pub facility: u8,
    /// Severity number, 0 to 7.
    pub severity: u8,
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Machine the message comes from.
    pub hostname: &'a str,
    /// Process it comes from.
    pub pid: u32,
    /// Private enterprise number in the id of the structured data.
    pub enterprise: u32,
    /// Parameters of the structured data: names and values.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The message itself.
    pub text: &'a str,
}

impl Message<'_> {
    /// The frame: length, space, message.
    pub fn frame(&self) -> Vec<u8> {
        let mut body = format!(
            "<{}>1 {} {} chartwatch {} data-security-finding [chartwatch@{}",
            u32::from(self.facility) * 8 + u32::from(self.severity),
            text::rfc3339(self.time_ns),
            header_field(self.hostname),
            self.pid,
            self.enterprise,
        );
        for (name, value) in self.parameters {
            for part in [" ", name, "=\"", &escape(value), "\""] {
                body.push_str(part);
            }
        }
        // The byte order mark says that the message is UTF-8 (section 6.4).
        body.push_str("] \u{feff}");
        body.push_str(self.text);
        let mut frame = format!("{} ", body.len()).into_bytes();
        frame.extend_from_slice(body.as_bytes());
        frame
    }
}

/// HOSTNAME is printable ASCII without space, at most 255, or a dash (section 6).
fn header_field(text: &str) -> String {
    let field: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(255)
        .collect();
    if field.is_empty() { "-".into() } else { field }
}

/// In a value, `"`, `\` and `]` are escaped by a backslash (section 6.3.3).
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_frame_is_what_the_standards_say() {
        let message = Message {
            facility: 10,
            severity: 2,
            time_ns: 1_773_630_765_123_456_789,
            hostname: "collector one",
            pid: 42,
            enterprise: 32473,
            parameters: &[("id", "a]b\"c\\d"), ("revision", "1")],
            text: "{\"a\":\"ü\"}",
        };
        let body = "<82>1 2026-03-16T03:12:45.123456Z collectorone chartwatch 42 data-security-finding \
                    [chartwatch@32473 id=\"a\\]b\\\"c\\\\d\" revision=\"1\"] \u{feff}{\"a\":\"ü\"}";
        let expect = format!("{} {body}", body.len());
        assert_eq!(String::from_utf8(message.frame()).unwrap(), expect);
        assert_eq!(header_field("\u{1b}\n"), "-");
    }
}
