//! What servers answer that feeds are pulled from.

use collector::intel::Kind;
use collector::intel::pull::fuzzing;

use crate::feed::one_file;

/// Answers of one input.
const ANSWERS_MAX: usize = 8;
/// What a bundle has beside its objects.
const BUNDLE_BYTES: usize = 128;

/// The answers of a TAXII server, and before them the bundle that was kept, with a zero byte between each: what is made of them is read as
/// the feed it becomes, and changes no more when it is what was kept.
pub fn pull_taxii(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let kept = parts.next().unwrap_or_default();
    let answers: Vec<&[u8]> = parts.take(ANSWERS_MAX).collect();
    let Some(bundle) = fuzzing::taxii(kept, &answers) else {
        return;
    };
    assert!(
        bundle.len() <= bytes.len() + BUNDLE_BYTES,
        "{} bytes",
        bundle.len()
    );
    assert_eq!(fuzzing::taxii(&bundle, &[]), Some(bundle.clone()));
    one_file(Kind::Stix, &bundle);
}
