//! Why a sensor runs the backend it runs: one reason for each backend that was refused.

use std::io::Write;

use super::paragraph;

/// The reasons as an indented list, as they came if they do not look like a list.
pub(super) fn reasons(out: &mut impl Write, reason: &str) -> Result<(), std::io::Error> {
    for one in split(reason) {
        paragraph(out, one, "    - ", "      ")?;
    }
    Ok(())
}

/// Cuts `lsm: why; fentry: why` before each `name: ` that follows a semicolon. A semicolon within a reason stays.
fn split(reason: &str) -> Vec<&str> {
    let mut reasons = Vec::new();
    let mut begin = 0;
    for (at, _) in reason.match_indices("; ") {
        let next = &reason[at + 2..];
        let name = next
            .split(": ")
            .next()
            .filter(|name| name.len() < next.len());
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        if name.is_some_and(is_name) {
            reasons.push(&reason[begin..at]);
            begin = at + 2;
        }
    }
    reasons.push(&reason[begin..]);
    reasons.retain(|reason| !reason.is_empty());
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_before_the_name_of_a_backend_only() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("asked for", &["asked for"]),
            (
                "lsm: not in the list; fentry: refused",
                &["lsm: not in the list", "fentry: refused"],
            ),
            (
                "lsm: r1 = 0; r2 = 1; exit; fentry: x",
                &["lsm: r1 = 0; r2 = 1; exit", "fentry: x"],
            ),
            (
                "lsm: one; two words: three",
                &["lsm: one; two words: three"],
            ),
            ("lsm: x; ", &["lsm: x; "]),
        ];
        for (reason, expect) in cases {
            assert_eq!(split(reason), *expect, "{reason}");
        }
    }
}
