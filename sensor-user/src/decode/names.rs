//! Names in what a conversation begins with: a question or an answer of DNS, the server that a TLS hello asks for.
//!
//! The bytes are those of a process or of a stranger on the network. Whatever they are, they give names or nothing.
//!
//! **Invariant:** no panic, and no work beyond the bytes, on any input.

use std::net::IpAddr;

use simple_dns::Packet;
use simple_dns::rdata::RData;

use crate::event::Heard;

/// Questions and records of a message that are looked at; more are nobody's that resolves a name.
const RECORDS_MAX: u16 = 64;
/// Longest name, as text: more, by its escapes, is cut off.
const NAME_MAX: usize = 253;
/// Bytes of a DNS header.
const HEADER: usize = 12;

/// The names in a message of DNS, over TCP with its length before it.
pub(super) fn dns(bytes: &[u8], stream: bool) -> Heard {
    let message = match bytes.split_first_chunk::<2>() {
        Some((len, rest)) if stream && usize::from(u16::from_be_bytes(*len)) == rest.len() => rest,
        _ => bytes,
    };
    let counts = message.get(4..HEADER).unwrap_or_default().chunks_exact(2);
    let many = |pair: &[u8]| u16::from_be_bytes([pair[0], pair[1]]) > RECORDS_MAX;
    if message.len() < HEADER || counts.into_iter().any(many) {
        return Heard::Nothing;
    }
    let Ok(packet) = Packet::parse(message) else {
        return Heard::Nothing;
    };
    let Some(name) = packet
        .questions
        .first()
        .and_then(|q| text(&q.qname.to_string()))
    else {
        return Heard::Nothing;
    };
    // The highest bit after the id tells an answer from a question (RFC 1035, 4.1.1).
    if message[2] & 0x80 == 0 {
        return Heard::Question(name);
    }
    let address = |data: &RData<'_>| match data {
        RData::A(a) => Some(IpAddr::from(a.address.to_be_bytes())),
        RData::AAAA(a) => Some(IpAddr::from(a.address.to_be_bytes()).to_canonical()),
        _ => None,
    };
    let addresses = packet.answers.iter().filter_map(|a| address(&a.rdata));
    Heard::Answer(name, addresses.collect())
}

/// The server that a TLS hello asks for (RFC 8446, 4.1.2; RFC 6066, 3), which may be cut off after it.
pub(super) fn hello(bytes: &[u8]) -> Heard {
    find_server(&mut Bytes(bytes))
        .and_then(text)
        .map_or(Heard::Nothing, Heard::Server)
}

fn find_server<'a>(bytes: &mut Bytes<'a>) -> Option<&'a str> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    const SERVER_NAME: usize = 0;
    const HOST_NAME: usize = 0;
    let is_hello = bytes.number(1)? == usize::from(HANDSHAKE);
    bytes.skip(2 + 2)?;
    if !is_hello || bytes.number(1)? != usize::from(CLIENT_HELLO) {
        return None;
    }
    // Length, version and random; then session, ciphers and compressions, each with its length.
    bytes.skip(3 + 2 + 32)?;
    for width in [1, 2, 1] {
        let len = bytes.number(width)?;
        bytes.skip(len)?;
    }
    bytes.skip(2)?;
    loop {
        let (kind, len) = (bytes.number(2)?, bytes.number(2)?);
        if kind != SERVER_NAME {
            bytes.skip(len)?;
            continue;
        }
        bytes.skip(2)?;
        if bytes.number(1)? != HOST_NAME {
            return None;
        }
        let len = bytes.number(2)?;
        return std::str::from_utf8(bytes.take(len)?).ok();
    }
}

/// A name as it may be shown: without capitals, and nothing but what names are made of and escapes (`\032`).
fn text(name: &str) -> Option<String> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let mut text = name.to_ascii_lowercase();
    if text.len() > NAME_MAX {
        text.truncate(NAME_MAX - 3);
        text.push_str("...");
    }
    Some(text)
}

/// Bytes that are read from front to back.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(drop)
    }

    /// A number of so many bytes, the highest first.
    fn number(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        Some(bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }
}

#[cfg(test)]
mod tests {
    use simple_dns::rdata::{A, CNAME};
    use simple_dns::{CLASS, Name, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

    use super::*;

    fn question(name: &'static str) -> Packet<'static> {
        let mut packet = Packet::new_query(7);
        let name = Name::new_unchecked(name);
        let (kind, class) = (QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN));
        packet
            .questions
            .push(Question::new(name, kind, class, false));
        packet
    }

    fn answer() -> Vec<u8> {
        let mut packet = question("PACS.example").into_reply();
        let record =
            |name, data| ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 60, data);
        let alias = CNAME(Name::new_unchecked("other.example"));
        let address = A {
            address: u32::from_be_bytes([192, 0, 2, 7]),
        };
        packet
            .answers
            .push(record("pacs.example", RData::CNAME(alias)));
        packet
            .answers
            .push(record("other.example", RData::A(address)));
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn client_hello(server: &[u8]) -> Vec<u8> {
        let mut name = vec![0, 0];
        for len in [server.len() + 5, server.len() + 3] {
            name.extend((len as u16).to_be_bytes());
        }
        name.push(0);
        name.extend((server.len() as u16).to_be_bytes());
        name.extend(server);
        // Before it an extension that nobody needs.
        let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
        extensions.extend(&name);
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend([4, 1, 2, 3, 4, 0, 2, 0x13, 1, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(&extensions);
        let mut hello = vec![22, 3, 1];
        hello.extend((body.len() as u16 + 4).to_be_bytes());
        hello.extend([1, 0]);
        hello.extend((body.len() as u16).to_be_bytes());
        hello.extend(&body);
        hello
    }

    #[test]
    fn questions_and_answers_have_names() {
        let asked = question("Pacs.Example").build_bytes_vec().unwrap();
        assert_eq!(dns(&asked, false), Heard::Question("pacs.example".into()));
        let given = Heard::Answer("pacs.example".into(), vec!["192.0.2.7".parse().unwrap()]);
        assert_eq!(dns(&answer(), false), given);
        let mut framed = (answer().len() as u16).to_be_bytes().to_vec();
        framed.extend(answer());
        assert_eq!(dns(&framed, true), given);
    }

    #[test]
    fn a_hello_names_its_server_although_it_is_cut_off_after_it() {
        let mut hello_bytes = client_hello(b"Records.example");
        let expected = Heard::Server("records.example".into());
        assert_eq!(hello(&hello_bytes), expected);
        hello_bytes.extend([0, 51, 4, 0, 1, 2]);
        assert_eq!(hello(&hello_bytes), expected);
    }

    #[test]
    fn names_that_are_none_are_nothing() {
        for bad in [&b""[..], b"a b", b"a\nb", &[0xff, 0xfe]] {
            assert_eq!(hello(&client_hello(bad)), Heard::Nothing);
        }
        assert_eq!(hello(b"GET / HTTP/1.1\r\n"), Heard::Nothing);
        assert_eq!(dns(b"GET / HTTP/1.1\r\n", true), Heard::Nothing);
    }

    #[test]
    fn a_long_name_is_cut_off() {
        let Heard::Server(name) = hello(&client_hello(&[b'a'; 1000])) else {
            panic!("no name")
        };
        assert_eq!(name.len(), NAME_MAX);
        assert!(name.ends_with("a..."));
    }

    #[test]
    fn whatever_comes_is_names_or_nothing() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let whole = [answer(), client_hello(b"records.example")];
        for n in 0..200_000 {
            let mut bytes = whole[n % 2].clone();
            for _ in 0..=random() % 4 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(random() as usize % (bytes.len() + 1));
            let _any = (dns(&bytes, n % 3 == 0), hello(&bytes));
        }
    }

    #[test]
    fn a_name_that_points_to_itself_ends() {
        let mut looping = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        looping.extend([0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(dns(&looping, false), Heard::Nothing);
        let mut many = looping.clone();
        many[4..12].fill(0xff);
        assert_eq!(dns(&many, false), Heard::Nothing);
    }
}
