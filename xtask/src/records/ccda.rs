//! Writes C-CDA documents: a continuity of care document with header and a section of results
//! (HL7 CDA R2; C-CDA R2.1 templates 2.16.840.1.113883.10.20.22.1.1 and .1.2).
//!
//! **Invariant:** no value holds a character that XML would have to escape.

use super::person::{HOSPITAL, Moment, Person, TOWN};
use super::random::Random;

const PROBLEMS: [(&str, &str); 5] = [
    ("38341003", "Hypertensive disorder"),
    ("73211009", "Diabetes mellitus"),
    ("195967001", "Asthma"),
    ("84757009", "Epilepsy"),
    ("396275006", "Osteoarthritis"),
];

/// A summary of the person: the name of its file and its bytes.
pub(crate) fn summary(person: &Person, random: &mut Random) -> (String, Vec<u8>) {
    let moment = Moment::invent(random);
    let at = format!("{}{}+0000", moment.date(), moment.time());
    let rows: String = (0..random.between(1, 4)).map(|_| row(random)).collect();
    let text = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <realmCode code="US"/>
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <templateId root="2.16.840.1.113883.10.20.22.1.1" extension="2015-08-01"/>
  <templateId root="2.16.840.1.113883.10.20.22.1.2" extension="2015-08-01"/>
  <id root="{document}"/>
  <code code="34133-9" codeSystem="2.16.840.1.113883.6.1" displayName="Summarization of Episode Note"/>
  <title>Continuity of Care Document (synthetic)</title>
  <effectiveTime value="{at}"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="en-US"/>
{target}
{author}
  <component>
    <structuredBody>
      <component>
        <section>
          <templateId root="2.16.840.1.113883.10.20.22.2.5.1" extension="2015-08-01"/>
          <code code="11450-4" codeSystem="2.16.840.1.113883.6.1" displayName="Problem List"/>
          <title>Problems</title>
          <text>
            <table>
              <thead><tr><th>Problem</th><th>SNOMED CT</th><th>Since</th></tr></thead>
              <tbody>
{rows}              </tbody>
            </table>
          </text>
        </section>
      </component>
    </structuredBody>
  </component>
</ClinicalDocument>
"#,
        document = random.uuid(),
        target = target(person),
        author = author(&at),
    );
    (
        format!("CCD_{}_{}.xml", person.family, moment.date()),
        text.into_bytes(),
    )
}

fn target(person: &Person) -> String {
    format!(
        r#"  <recordTarget>
    <patientRole>
      <id root="2.16.840.1.113883.19.5" extension="{}"/>
      <addr use="HP"><streetAddressLine>{}</streetAddressLine><city>{TOWN}</city><postalCode>00000</postalCode></addr>
      <telecom use="HP" value="tel:{}"/>
      <patient>
        <name use="L"><given>{}</given><family>{}</family></name>
        <administrativeGenderCode code="{}" codeSystem="2.16.840.1.113883.5.1"/>
        <birthTime value="{}"/>
      </patient>
    </patientRole>
  </recordTarget>"#,
        person.number,
        person.street,
        person.telephone,
        person.given,
        person.family,
        person.sex,
        person.birth_digits()
    )
}

fn author(at: &str) -> String {
    format!(
        r#"  <author>
    <time value="{at}"/>
    <assignedAuthor>
      <id root="2.16.840.1.113883.19.5" extension="1001"/>
      <assignedPerson><name><given>Doctor</given><family>Placeholder</family></name></assignedPerson>
    </assignedAuthor>
  </author>
  <custodian>
    <assignedCustodian>
      <representedCustodianOrganization>
        <id root="2.16.840.1.113883.19.5"/>
        <name>{HOSPITAL}</name>
      </representedCustodianOrganization>
    </assignedCustodian>
  </custodian>"#
    )
}

fn row(random: &mut Random) -> String {
    let (code, name) = PROBLEMS[random.between(0, PROBLEMS.len() as u64 - 1) as usize];
    format!(
        "                <tr><td>{name}</td><td>{code}</td><td>{}</td></tr>\n",
        random.between(1990, 2024)
    )
}
