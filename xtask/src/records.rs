//! `cargo xtask records`: fills a directory with synthetic patient records in the formats of real ones.
//!
//! Each invented patient has a directory that carries the name, as real exports do, with images (DICOM part 10),
//! messages (HL7 v2), resources (FHIR JSON) and documents (C-CDA) in it.
//!
//! **Invariant:** the same count and seed give the same names and bytes; a larger count adds to them.
//! **Invariant:** every person, place and number is made up, and looks it.

mod ccda;
mod dicom;
mod fhir;
mod hl7;
mod person;
mod random;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use self::person::Person;
pub(crate) use self::random::Random;
use crate::table::Table;

/// What a patient has, in this order; a store is so many of them, and the last patient may have fewer.
const FILE: [(Kind, &str); 8] = [
    (Kind::Dicom, "imaging"),
    (Kind::Hl7, "messages"),
    (Kind::Fhir, "fhir"),
    (Kind::Dicom, "imaging"),
    (Kind::Ccda, "documents"),
    (Kind::Hl7, "messages"),
    (Kind::Dicom, "imaging"),
    (Kind::Fhir, "fhir"),
];

/// Fills a directory with synthetic records.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Directory to fill; made when it is not there, refused when it holds anything
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many records, that is files
    #[arg(long, value_name = "N", default_value_t = 200)]
    count: u64,
    /// Another seed gives other people and other records
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Write the table as a JSON array too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dicom,
    Hl7,
    Fhir,
    Ccda,
}

/// One generated record.
#[derive(Debug)]
pub(crate) struct Record {
    kind: Kind,
    /// Size in bytes.
    pub(crate) bytes: u64,
}

/// Runs the command.
///
/// # Errors
/// The directory is not empty or cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let records = generate(&args.out, args.count, args.seed)?;
    let mut table = Table::new(&["format", "records", "bytes"]);
    for kind in [Kind::Dicom, Kind::Hl7, Kind::Fhir, Kind::Ccda] {
        let sizes: Vec<u64> = records
            .iter()
            .filter(|record| record.kind == kind)
            .map(|record| record.bytes)
            .collect();
        table.push([
            json!(kind.title()),
            json!(sizes.len()),
            json!(sizes.iter().sum::<u64>()),
        ]);
    }
    table.report(args.json.as_deref())
}

/// Writes `count` records under `out`; gives them in the order of their numbers.
///
/// # Errors
/// The directory holds something already, or cannot be written.
pub(crate) fn generate(out: &Path, count: u64, seed: u64) -> Result<Vec<Record>> {
    fs::create_dir_all(out).with_context(|| format!("failed to create {}", out.display()))?;
    if fs::read_dir(out)
        .with_context(|| format!("failed to list {}", out.display()))?
        .next()
        .is_some()
    {
        bail!(
            "{} is not empty; synthetic records go into a directory of their own",
            out.display()
        );
    }
    (0..count).map(|number| write(out, number, seed)).collect()
}

fn write(out: &Path, number: u64, seed: u64) -> Result<Record> {
    let (kind, path, content) = record(number, seed);
    let target = out.join(&path);
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
    }
    fs::write(&target, &content)
        .with_context(|| format!("failed to write {}", target.display()))?;
    Ok(Record {
        kind,
        bytes: content.len() as u64,
    })
}

/// The record with this number: its format, its path and its bytes.
fn record(number: u64, seed: u64) -> (Kind, PathBuf, Vec<u8>) {
    let patient = number / FILE.len() as u64;
    let place = (number % FILE.len() as u64) as usize;
    let person = Person::invent(patient, seed);
    let mut random = Random::of(&[seed, patient, place as u64 + 1]);
    let (kind, directory) = FILE[place];
    let (name, content) = match kind {
        Kind::Dicom => dicom::image(&person, place, &mut random),
        Kind::Hl7 if place == 1 => hl7::admission(&person, &mut random),
        Kind::Hl7 => hl7::result(&person, &mut random),
        Kind::Fhir if place == 2 => fhir::patient(&person),
        Kind::Fhir => fhir::bundle(&person, &mut random),
        Kind::Ccda => ccda::summary(&person, &mut random),
    };
    (
        kind,
        Path::new(&person.directory()).join(directory).join(name),
        content,
    )
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Self::Dicom => "DICOM part 10",
            Self::Hl7 => "HL7 v2",
            Self::Fhir => "FHIR JSON",
            Self::Ccda => "C-CDA",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_store_and_another_seed_another() {
        let store = |seed| {
            (0..40)
                .map(|number| record(number, seed))
                .map(|(_, p, c)| (p, c))
                .collect::<Vec<_>>()
        };
        assert_eq!(store(7), store(7));
        assert!(
            store(7)
                .iter()
                .zip(store(8))
                .all(|(a, b)| a.0 != b.0 && a.1 != b.1)
        );
    }

    #[test]
    fn records_lie_below_their_patient_and_none_twice() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let records = generate(&store, 100, 3).unwrap();
        let mut paths: Vec<_> = (0..100).map(|number| record(number, 3).1).collect();
        for (record, path) in records.iter().zip(&paths) {
            assert_eq!(fs::metadata(store.join(path)).unwrap().len(), record.bytes);
            assert_eq!(path.components().count(), 3, "{}", path.display());
        }
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 100);
        assert!(
            generate(&store, 1, 3).is_err(),
            "a directory with something in it is refused"
        );
    }

    /// The strict tests discovery will use.
    #[test]
    fn every_record_carries_the_signature_of_its_format() {
        for number in 0..64 {
            let (kind, path, content) = record(number, 11);
            let head = &content[..content.len().min(4096)];
            let text = String::from_utf8_lossy(head);
            let good = match kind {
                Kind::Dicom => head[128..132] == *b"DICM" && head[..128] == [0; 128],
                Kind::Hl7 => {
                    head.starts_with(b"MSH|^~\\&|")
                        && !head.contains(&b'\n')
                        && head.ends_with(b"\r")
                }
                Kind::Fhir => {
                    let json: serde_json::Value = serde_json::from_slice(&content).unwrap();
                    text.contains("\"resourceType\"")
                        && ["Patient", "Bundle"]
                            .iter()
                            .any(|n| json["resourceType"] == *n)
                }
                Kind::Ccda => {
                    let tag = text
                        .split_once("<ClinicalDocument")
                        .unwrap()
                        .1
                        .split_once('>')
                        .unwrap()
                        .0;
                    tag.contains("urn:hl7-org:v3")
                }
            };
            assert!(good, "{} is no {}", path.display(), kind.title());
        }
    }
}
