//! Writes DICOM part 10 files: secondary capture images with a small picture of noise.
//!
//! File format: PS3.10 section 7 (128 bytes of preamble, `DICM`, file meta information). Elements: PS3.5 section 7.1.2,
//! explicit VR little endian. Which elements: PS3.3 A.8.1 (Secondary Capture Image) and the modules it names.
//!
//! **Invariant:** elements come in rising order of their tags and have even lengths, as PS3.5 7.1 asks.

use super::person::{HOSPITAL, Moment, Person};
use super::random::Random;

const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
/// Who wrote the file; a UID from a UUID, ours for good.
const IMPLEMENTATION: &str = "2.25.263416938441437391742418207103371946837";

const STUDIES: [(&str, &str); 5] = [
    ("CT", "CT Head"),
    ("MR", "MR Knee"),
    ("CR", "Chest PA"),
    ("US", "US Abdomen"),
    ("XA", "Angiography"),
];

/// An image of the person: the name of its file and its bytes. `place` numbers the images of a patient.
pub(crate) fn image(person: &Person, place: usize, random: &mut Random) -> (String, Vec<u8>) {
    let (modality, description) = STUDIES[random.between(0, STUDIES.len() as u64 - 1) as usize];
    let instance = random.uid();
    let moment = Moment::invent(random);
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM");
    file.extend(meta(&instance));
    file.extend(data_set(
        person,
        &instance,
        (modality, description),
        place,
        moment,
        random,
    ));
    let name = format!("{modality}_{}_{}_{place}.dcm", person.family, moment.date());
    (name, file)
}

/// Group 0002, which begins with its own length (PS3.10 table 7.1-1).
fn meta(instance: &str) -> Vec<u8> {
    let mut rest = Elements::default();
    rest.long((0x0002, 0x0001), "OB", &[0, 1]);
    rest.text((0x0002, 0x0002), "UI", SECONDARY_CAPTURE);
    rest.text((0x0002, 0x0003), "UI", instance);
    rest.text((0x0002, 0x0010), "UI", EXPLICIT_LITTLE_ENDIAN);
    rest.text((0x0002, 0x0012), "UI", IMPLEMENTATION);
    rest.text((0x0002, 0x0013), "SH", "CHARTWATCH_SYN");
    let mut group = Elements::default();
    group.short((0x0002, 0x0000), "UL", &(rest.0.len() as u32).to_le_bytes());
    group.0.extend(rest.0);
    group.0
}

fn data_set(
    person: &Person,
    instance: &str,
    (modality, description): (&str, &str),
    place: usize,
    moment: Moment,
    random: &mut Random,
) -> Vec<u8> {
    let mut set = Elements::default();
    set.text((0x0008, 0x0005), "CS", "ISO_IR 100");
    set.text((0x0008, 0x0008), "CS", "DERIVED\\SECONDARY");
    set.text((0x0008, 0x0016), "UI", SECONDARY_CAPTURE);
    set.text((0x0008, 0x0018), "UI", instance);
    set.text((0x0008, 0x0020), "DA", &moment.date());
    set.text((0x0008, 0x0023), "DA", &moment.date());
    set.text((0x0008, 0x0030), "TM", &moment.time());
    set.text((0x0008, 0x0033), "TM", &moment.time());
    set.text(
        (0x0008, 0x0050),
        "SH",
        &format!("ACC{:08}", random.between(0, 99_999_999)),
    );
    set.text((0x0008, 0x0060), "CS", modality);
    set.text((0x0008, 0x0064), "CS", "SYN");
    set.text((0x0008, 0x0070), "LO", "Chartwatch");
    set.text((0x0008, 0x0080), "LO", HOSPITAL);
    set.text((0x0008, 0x0090), "PN", "Placeholder^Doctor");
    set.text((0x0008, 0x1030), "LO", description);
    set.text(
        (0x0010, 0x0010),
        "PN",
        &format!("{}^{}", person.family, person.given),
    );
    set.text((0x0010, 0x0020), "LO", &person.number);
    set.text((0x0010, 0x0030), "DA", &person.birth_digits());
    set.text((0x0010, 0x0040), "CS", &person.sex.to_string());
    set.text((0x0020, 0x000d), "UI", &random.uid());
    set.text((0x0020, 0x000e), "UI", &random.uid());
    set.text(
        (0x0020, 0x0010),
        "SH",
        &format!("S{:06}", random.between(0, 999_999)),
    );
    set.text((0x0020, 0x0011), "IS", "1");
    set.text((0x0020, 0x0013), "IS", &(place + 1).to_string());
    set.text((0x0020, 0x0020), "CS", "");
    set.text((0x0020, 0x0060), "CS", "");
    pixels(&mut set, random);
    set.0
}

/// The image pixel module (PS3.3 C.7.6.3): a square of 12-bit grey noise.
fn pixels(set: &mut Elements, random: &mut Random) {
    let side = random.between(32, 96) as u16;
    set.number((0x0028, 0x0002), 1);
    set.text((0x0028, 0x0004), "CS", "MONOCHROME2");
    set.number((0x0028, 0x0010), side);
    set.number((0x0028, 0x0011), side);
    set.number((0x0028, 0x0100), 16);
    set.number((0x0028, 0x0101), 12);
    set.number((0x0028, 0x0102), 11);
    set.number((0x0028, 0x0103), 0);
    let mut picture = Vec::new();
    for _ in 0..u32::from(side) * u32::from(side) {
        picture.extend_from_slice(&(random.between(0, 4095) as u16).to_le_bytes());
    }
    set.long((0x7fe0, 0x0010), "OW", &picture);
}

/// Elements, encoded one after the other.
#[derive(Debug, Default)]
struct Elements(Vec<u8>);

impl Elements {
    /// Text, padded to an even length: UIDs with NUL, all else with a space (PS3.5 6.2).
    fn text(&mut self, tag: (u16, u16), representation: &str, value: &str) {
        let mut value = value.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if representation == "UI" { 0 } else { b' ' });
        }
        self.short(tag, representation, &value);
    }

    /// One unsigned short.
    fn number(&mut self, tag: (u16, u16), value: u16) {
        self.short(tag, "US", &value.to_le_bytes());
    }

    /// A representation with a length of 16 bits (PS3.5 table 7.1-2).
    fn short(&mut self, tag: (u16, u16), representation: &str, value: &[u8]) {
        self.head(tag, representation);
        self.0.extend((value.len() as u16).to_le_bytes());
        self.0.extend(value);
    }

    /// OB and OW: two reserved bytes and a length of 32 bits (PS3.5 table 7.1-1).
    fn long(&mut self, tag: (u16, u16), representation: &str, value: &[u8]) {
        self.head(tag, representation);
        self.0.extend([0, 0]);
        self.0.extend((value.len() as u32).to_le_bytes());
        self.0.extend(value);
    }

    fn head(&mut self, (group, element): (u16, u16), representation: &str) {
        self.0.extend(group.to_le_bytes());
        self.0.extend(element.to_le_bytes());
        self.0.extend(representation.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the elements from an offset; gives tags and values.
    fn walk(bytes: &[u8]) -> Vec<((u16, u16), Vec<u8>)> {
        let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (mut at, mut found) = (0, Vec::new());
        while at < bytes.len() {
            let tag = (number(at), number(at + 2));
            let long = matches!(&bytes[at + 4..at + 6], b"OB" | b"OW");
            let (start, length) = if long {
                (
                    at + 12,
                    u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize,
                )
            } else {
                (at + 8, usize::from(number(at + 6)))
            };
            found.push((tag, bytes[start..start + length].to_vec()));
            at = start + length;
        }
        found
    }

    #[test]
    fn the_file_holds_together() {
        let person = Person::invent(4, 9);
        let (_, file) = image(&person, 0, &mut Random::of(&[9]));
        let elements = walk(&file[132..]);
        assert!(
            elements.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "tags rise"
        );
        assert!(
            elements.iter().all(|(_, value)| value.len() % 2 == 0),
            "lengths are even"
        );
        let value = |tag| {
            elements
                .iter()
                .find(|(found, _)| *found == tag)
                .unwrap()
                .1
                .clone()
        };
        let group_length = u32::from_le_bytes(value((2, 0)).try_into().unwrap()) as usize;
        let meta: usize = walk(&file[132..132 + 12 + group_length]).len();
        assert_eq!(meta, 7, "the group length ends the group exactly");
        let side = usize::from(u16::from_le_bytes(value((0x28, 0x10)).try_into().unwrap()));
        assert_eq!(value((0x7fe0, 0x10)).len(), side * side * 2);
        assert_eq!(
            value((2, 3)),
            value((8, 0x18)),
            "the meta group names the same instance"
        );
    }
}
