//! Writes FHIR R4 resources as JSON: a Patient, and a Bundle of a Patient with Observations (hl7.org/fhir/R4).
//!
//! Templates rather than values: the order of keys is the one people write, `resourceType` first.

use super::person::{HOSPITAL, Moment, Person, TOWN};
use super::random::Random;

/// Vital signs: LOINC code, name, UCUM unit, lowest and highest value.
const SIGNS: [(&str, &str, &str, u64, u64); 4] = [
    ("8867-4", "Heart rate", "/min", 48, 130),
    ("8480-6", "Systolic blood pressure", "mm[Hg]", 90, 190),
    ("8462-4", "Diastolic blood pressure", "mm[Hg]", 50, 110),
    ("9279-1", "Respiratory rate", "/min", 10, 28),
];

/// A Patient: the name of its file and its bytes.
pub(crate) fn patient(person: &Person) -> (String, Vec<u8>) {
    let name = format!("Patient_{}_{}.json", person.family, person.given);
    (name, format!("{}\n", resource(person)).into_bytes())
}

/// A Bundle with the Patient and some Observations: the name of its file and its bytes.
pub(crate) fn bundle(person: &Person, random: &mut Random) -> (String, Vec<u8>) {
    let moment = Moment::invent(random);
    let mut entries = vec![entry(&random.uuid(), &resource(person))];
    for _ in 0..random.between(2, 8) {
        let identifier = random.uuid();
        entries.push(entry(
            &identifier,
            &observation(person, &identifier, moment, random),
        ));
    }
    let text = format!(
        r#"{{
  "resourceType": "Bundle",
  "id": "{}",
  "type": "collection",
  "timestamp": "{}",
  "entry": [
{}
  ]
}}
"#,
        random.uuid(),
        moment.rfc3339(),
        entries.join(",\n")
    );
    (
        format!("Bundle_{}_{}.json", person.family, moment.date()),
        text.into_bytes(),
    )
}

fn entry(identifier: &str, resource: &str) -> String {
    format!(r#"    {{ "fullUrl": "urn:uuid:{identifier}", "resource": {resource} }}"#)
}

fn resource(person: &Person) -> String {
    let gender = if person.sex == 'F' { "female" } else { "male" };
    format!(
        r#"{{
  "resourceType": "Patient",
  "id": "{number}",
  "meta": {{ "tag": [{{ "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST", "display": "test health data" }}] }},
  "identifier": [{{
    "type": {{ "coding": [{{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR" }}] }},
    "system": "urn:ietf:rfc:3986", "value": "{number}", "assigner": {{ "display": "{HOSPITAL}" }}
  }}],
  "name": [{{ "use": "official", "family": "{family}", "given": ["{given}"] }}],
  "telecom": [{{ "system": "phone", "value": "{telephone}", "use": "home" }}],
  "gender": "{gender}",
  "birthDate": "{birth}",
  "address": [{{ "line": ["{street}"], "city": "{TOWN}", "postalCode": "00000" }}]
}}"#,
        number = person.number,
        family = person.family,
        given = person.given,
        telephone = person.telephone,
        birth = person.birth_iso(),
        street = person.street,
    )
}

fn observation(person: &Person, identifier: &str, moment: Moment, random: &mut Random) -> String {
    let (code, name, unit, low, high) = SIGNS[random.between(0, SIGNS.len() as u64 - 1) as usize];
    format!(
        r#"{{
  "resourceType": "Observation",
  "id": "{identifier}",
  "status": "final",
  "category": [{{ "coding": [{{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs" }}] }}],
  "code": {{ "coding": [{{ "system": "http://loinc.org", "code": "{code}", "display": "{name}" }}] }},
  "subject": {{ "reference": "Patient/{}", "display": "{} {}" }},
  "effectiveDateTime": "{}",
  "valueQuantity": {{ "value": {}, "unit": "{unit}", "system": "http://unitsofmeasure.org", "code": "{unit}" }}
}}"#,
        person.number,
        person.given,
        person.family,
        moment.rfc3339(),
        random.between(low, high),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_holds_its_patient_and_observations() {
        let person = Person::invent(2, 1);
        let (_, bytes) = bundle(&person, &mut Random::of(&[5]));
        let bundle: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let entries = bundle["entry"].as_array().unwrap();
        assert!(entries.len() >= 3);
        assert_eq!(entries[0]["resource"]["name"][0]["family"], person.family);
        for entry in &entries[1..] {
            assert_eq!(entry["resource"]["resourceType"], "Observation");
            assert_eq!(
                entry["resource"]["subject"]["reference"],
                format!("Patient/{}", person.number)
            );
        }
    }
}
