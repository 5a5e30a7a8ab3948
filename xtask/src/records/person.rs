//! Invents the people records are about.
//!
//! **Invariant:** names, places and numbers cannot be taken for real ones: the names are puns, the town does not exist,
//! telephone numbers are from the range kept for fiction (555-0100 to 555-0199).

use super::random::Random;

const FAMILY: [&str; 24] = [
    "Testington",
    "Samplewood",
    "Mockridge",
    "Dummyfield",
    "Placeholder",
    "Fictivson",
    "Invented",
    "Nobodyson",
    "Fabricatti",
    "Pretendal",
    "Makebelieve",
    "Imaginova",
    "Syntheti",
    "Notarealname",
    "Examplar",
    "Fauxworth",
    "Phantomski",
    "Stubbins",
    "Lorem-Ipsum",
    "Unreal",
    "Hypothetica",
    "Fixtureman",
    "Seedling",
    "Randomsen",
];

const GIVEN: [&str; 24] = [
    "Zebulina",
    "Quibble",
    "Marzipan",
    "Figment",
    "Bombazine",
    "Wobbly",
    "Pixella",
    "Dicomo",
    "Noodle",
    "Tuppence",
    "Crumpet",
    "Gizmo",
    "Fhirelle",
    "Bobbin",
    "Custard",
    "Dandelion",
    "Sprocket",
    "Thimble",
    "Waffle",
    "Yonder",
    "Umbrello",
    "Jellybean",
    "Kazoo",
    "Hl-Seven",
];

const STREETS: [&str; 6] = [
    "Fiction Lane",
    "Placebo Road",
    "Checksum Street",
    "Null Island Way",
    "Testbed Alley",
    "Fixture Close",
];

/// Someone who does not exist.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// Medical record number.
    pub(crate) number: String,
    /// Family name.
    pub(crate) family: &'static str,
    /// Given name.
    pub(crate) given: &'static str,
    /// Year, month and day of birth.
    pub(crate) birth: (u64, u64, u64),
    /// `F` or `M`, as DICOM and HL7 v2 write it.
    pub(crate) sex: char,
    /// House number and street.
    pub(crate) street: String,
    /// Telephone number.
    pub(crate) telephone: String,
}

/// The town all of them live in.
pub(crate) const TOWN: &str = "Nowhere-under-Test";
/// The hospital all of them go to.
pub(crate) const HOSPITAL: &str = "Chartwatch Synthetic Hospital";

impl Person {
    /// The patient with this place in the store of a seed.
    pub(crate) fn invent(patient: u64, seed: u64) -> Self {
        let mut random = Random::of(&[seed, patient, 0]);
        Self {
            // The seed is in it, so that stores of different seeds never share a number.
            number: format!("SYN{:04}-{patient:06}", seed % 10_000),
            family: random.pick(&FAMILY),
            given: random.pick(&GIVEN),
            birth: (
                random.between(1925, 2024),
                random.between(1, 12),
                random.between(1, 28),
            ),
            sex: if random.between(0, 1) == 0 { 'F' } else { 'M' },
            street: format!("{} {}", random.between(1, 199), random.pick(&STREETS)),
            telephone: format!("555-01{:02}", random.between(0, 99)),
        }
    }

    /// Name of the directory the patient's records lie in: it identifies, as such names do.
    pub(crate) fn directory(&self) -> String {
        format!("{}_{}_{}", self.number, self.family, self.given)
    }

    /// Date of birth as `YYYYMMDD`.
    pub(crate) fn birth_digits(&self) -> String {
        let (year, month, day) = self.birth;
        format!("{year:04}{month:02}{day:02}")
    }

    /// Date of birth as `YYYY-MM-DD`.
    pub(crate) fn birth_iso(&self) -> String {
        let (year, month, day) = self.birth;
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// A moment at which something was done to a patient, in the year the records are set in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
}

impl Moment {
    /// Some moment of the year 2025.
    pub(crate) fn invent(random: &mut Random) -> Self {
        Self {
            month: random.between(1, 12),
            day: random.between(1, 28),
            hour: random.between(6, 21),
            minute: random.between(0, 59),
        }
    }

    /// `YYYYMMDD`.
    pub(crate) fn date(self) -> String {
        format!("2025{:02}{:02}", self.month, self.day)
    }

    /// `HHMMSS`.
    pub(crate) fn time(self) -> String {
        format!("{:02}{:02}00", self.hour, self.minute)
    }

    /// RFC 3339, in UTC.
    pub(crate) fn rfc3339(self) -> String {
        format!(
            "2025-{:02}-{:02}T{:02}:{:02}:00Z",
            self.month, self.day, self.hour, self.minute
        )
    }
}
