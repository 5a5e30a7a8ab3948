//! What is made of answers without a server, for the fuzz targets: no other way leads to it from outside.

use super::taxii::{Indicators, Start, objects_of, page_of};
use crate::text;

/// Makes a bundle of the pages of a TAXII collection, of what was kept before and `kept`, a bundle; `None` where a pull would have failed.
/// Each page is what a server sent: the header about what was added last, a line break, the body.
pub fn taxii(kept: &[u8], pages: &[&[u8]]) -> Option<Vec<u8>> {
    let mut indicators = Indicators::default();
    indicators.add(objects_of(kept).unwrap_or_default()).ok()?;
    let mut start = Start::default();
    for answer in pages {
        let end = answer.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let (header, body) = answer.split_at(end);
        let added_last = std::str::from_utf8(header).ok();
        let added_last = added_last.filter(|text| text::parse_rfc3339(text).is_some());
        let page = page_of(body).ok()?;
        indicators.add(page.objects).ok()?;
        start = start.then(page.next, added_last);
        let url = start.added_to(String::new());
        assert!(
            url.bytes().all(|byte| byte.is_ascii_graphic()),
            "{url:?} is no URL"
        );
        if !page.more {
            break;
        }
    }
    indicators
        .bundle("bundle--00000000-0000-0000-0000-000000000000".into())
        .ok()
}
