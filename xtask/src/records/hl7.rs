//! Writes HL7 v2.5.1 messages: an admission (ADT^A01) and a laboratory result (ORU^R01).
//!
//! **Invariant:** segments end with CR alone (HL7 v2.5.1 section 2.5.3), and no value holds a delimiter.

use super::person::{HOSPITAL, Moment, Person, TOWN};
use super::random::Random;

/// Laboratory tests: LOINC code, name, unit, lowest and highest value, reference range.
const TESTS: [(&str, &str, &str, u64, u64, &str); 6] = [
    ("2345-7", "Glucose", "mg/dL", 60, 240, "70-99"),
    ("2951-2", "Sodium", "mmol/L", 128, 150, "136-145"),
    ("2823-3", "Potassium", "mmol/L", 3, 6, "3.5-5.1"),
    ("718-7", "Hemoglobin", "g/dL", 7, 18, "12-16"),
    ("6690-2", "Leukocytes", "10*3/uL", 3, 21, "4.5-11"),
    ("777-3", "Platelets", "10*3/uL", 90, 450, "150-400"),
];

/// An admission: the name of its file and its bytes.
pub(crate) fn admission(person: &Person, random: &mut Random) -> (String, Vec<u8>) {
    let moment = Moment::invent(random);
    let at = format!("{}{}", moment.date(), moment.time());
    let segments = [
        header("ADT^A01^ADT_A01", &at, random),
        format!("EVN|A01|{at}"),
        identification(person),
        format!(
            "PV1|1|I|WARD{}^{:03}^A||||1001^Placeholder^Doctor|||MED||||||||{}|V{:08}",
            random.between(1, 9),
            random.between(1, 60),
            "1001^Placeholder^Doctor",
            random.between(0, 99_999_999)
        ),
        "DG1|1||R51.9^Headache, unspecified^I10||||A".to_owned(),
    ];
    (
        format!("ADT_A01_{}_{}.hl7", person.family, moment.date()),
        message(&segments),
    )
}

/// A laboratory result: the name of its file and its bytes.
pub(crate) fn result(person: &Person, random: &mut Random) -> (String, Vec<u8>) {
    let moment = Moment::invent(random);
    let at = format!("{}{}", moment.date(), moment.time());
    let mut segments = vec![
        header("ORU^R01^ORU_R01", &at, random),
        identification(person),
        format!(
            "OBR|1||L{:08}|24323-8^Metabolic panel^LN|||{at}",
            random.between(0, 99_999_999)
        ),
    ];
    for (index, (code, name, unit, low, high, range)) in TESTS.iter().enumerate() {
        let value = format!("{}.{}", random.between(*low, *high), random.between(0, 9));
        let number = index + 1;
        segments.push(format!(
            "OBX|{number}|NM|{code}^{name}^LN||{value}|{unit}|{range}||||F|||{at}"
        ));
    }
    (
        format!("ORU_R01_{}_{}.hl7", person.family, moment.date()),
        message(&segments),
    )
}

/// MSH; processing id T says that this is training material.
fn header(kind: &str, at: &str, random: &mut Random) -> String {
    format!(
        "MSH|^~\\&|CHARTWATCH|{HOSPITAL}|EHR|{HOSPITAL}|{at}||{kind}|SYN{:012}|T|2.5.1",
        random.between(0, 999_999_999_999)
    )
}

fn identification(person: &Person) -> String {
    format!(
        "PID|1||{}^^^{HOSPITAL}^MR||{}^{}||{}|{}|||{}^^{TOWN}^^00000||{}",
        person.number,
        person.family,
        person.given,
        person.birth_digits(),
        person.sex,
        person.street,
        person.telephone
    )
}

fn message(segments: &[String]) -> Vec<u8> {
    segments
        .iter()
        .flat_map(|segment| [segment.as_bytes(), b"\r"].concat())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_follow_each_other_by_cr() {
        let person = Person::invent(0, 1);
        let names = |bytes: Vec<u8>| -> Vec<String> {
            let text = String::from_utf8(bytes).unwrap();
            text.split_terminator('\r')
                .map(|segment| segment[..3].to_owned())
                .collect()
        };
        assert_eq!(
            names(admission(&person, &mut Random::of(&[1])).1),
            ["MSH", "EVN", "PID", "PV1", "DG1"]
        );
        let lab = names(result(&person, &mut Random::of(&[1])).1);
        assert_eq!(
            (lab[..3].join(" ").as_str(), lab.len()),
            ("MSH PID OBR", 3 + TESTS.len())
        );
    }
}
