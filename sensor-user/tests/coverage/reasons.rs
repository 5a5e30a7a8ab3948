//! Why a way is not seen, or not with its bytes.
//!
//! **Invariant:** a cell that is seen has no reason, and one without a line here says `unexplained`.

/// Way (or the beginning of its name and `*`), backend (or `*`), reason. The first line that fits counts.
const REASONS: &[(&str, &str, &str)] = &[];

/// The reason for a cell that is not `yes`.
pub(crate) fn of(way: &str, backend: &str) -> &'static str {
    let fits = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => pattern == text,
    };
    REASONS
        .iter()
        .find(|(ways, backends, _)| fits(ways, way) && fits(backends, backend))
        .map_or("unexplained", |(.., reason)| reason)
}
