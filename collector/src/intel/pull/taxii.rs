//! Collections of a TAXII 2.1 server (OASIS TAXII 2.1, 5.4 "Get Objects"): the indicators of a collection, kept as one bundle of STIX.
//!
//! The first time, and once a week, all pages are fetched; else what was added since. What was added takes the place of older versions
//! of the same object, so what a source revokes is gone at once; what a server deleted is gone after a week at most.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ureq::http::header::HeaderName;

use super::PullConfig;
use super::client::{Allowance, Client, Marks};
use super::error::PullError;
use super::place::{self, Draft, State, percent};
use crate::intel::feed::{self, FeedConfig};
use crate::text;

/// What is asked for (TAXII 2.1, "Content Negotiation").
const MEDIA_TYPE: &str = "application/taxii+json;version=2.1";
/// When the newest object of a page was added (TAXII 2.1, "HTTP Headers").
const ADDED_LAST: HeaderName = HeaderName::from_static("x-taxii-date-added-last");
/// Objects of a page, unless the server gives fewer.
const PAGE: usize = 1_000;
/// Most pages of one pull.
const PAGES_MAX: usize = 10_000;
/// After how long a collection is fetched as a whole again.
const WHOLE_AFTER: Duration = Duration::from_hours(7 * 24);

/// A page (TAXII 2.1, "Envelope"); what has no object may be empty.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub(super) more: bool,
    #[serde(default)]
    pub(super) next: Option<String>,
    #[serde(default)]
    pub(super) objects: Vec<Box<RawValue>>,
}

/// What is kept, and what was kept.
#[derive(Debug, Serialize, Deserialize)]
struct Bundle {
    r#type: String,
    id: String,
    objects: Vec<Box<RawValue>>,
}

/// What tells objects and their versions apart (STIX 2.1, 3.6).
#[derive(Debug, Deserialize)]
struct About {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    modified: Option<String>,
}

/// Indicators by id, of each the version that was modified last.
#[derive(Debug, Default)]
pub(super) struct Indicators(BTreeMap<String, (Option<u64>, Box<RawValue>)>);

/// Where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// Behind what was added then.
    added: Option<String>,
    /// As the server called it.
    next: Option<String>,
}

/// Fetches what the collection has, or what was added; true when what is kept is another then.
pub(super) fn pull(
    config: &FeedConfig,
    pull: &PullConfig,
    client: &Client<'_>,
    state: &mut State,
    now_s: u64,
) -> Result<bool, PullError> {
    let mut kept = Indicators::default();
    let mut start = Start::default();
    match earlier(config, state, now_s) {
        Some(objects) => {
            kept.add(objects)?;
            start.added.clone_from(&state.added_last);
        }
        None => state.whole_s = Some(now_s),
    }
    state.added_last = pages(&objects_url(&pull.url), client, start, &mut kept)?;
    let mut draft = Draft::new(&config.path)?;
    let id = format!("bundle--{}", place::source(pull));
    draft.write(&kept.bundle(id)?)?;
    draft.try_as(config)?;
    if draft.is_as_before() {
        return Ok(false);
    }
    draft.keep()?;
    Ok(true)
}

/// What is kept, if it is enough to ask for what was added since.
fn earlier(config: &FeedConfig, state: &State, now_s: u64) -> Option<Vec<Box<RawValue>>> {
    state.added_last.as_ref()?;
    let age = now_s.checked_sub(state.whole_s?)?;
    if age >= WHOLE_AFTER.as_secs() {
        return None;
    }
    let (bytes, _) = feed::contents(&config.path).ok()?;
    objects_of(&bytes)
}

/// The objects of a bundle that was kept.
pub(super) fn objects_of(bytes: &[u8]) -> Option<Vec<Box<RawValue>>> {
    let bundle: Bundle = serde_json::from_slice(bytes).ok()?;
    Some(bundle.objects)
}

/// A page, from the body of an answer.
pub(super) fn page_of(body: &[u8]) -> Result<Envelope, PullError> {
    serde_json::from_slice(body).map_err(|error| PullError::json(&error))
}

/// Fetches page after page; gives when the newest object was added.
fn pages(
    url: &str,
    client: &Client<'_>,
    mut start: Start,
    into: &mut Indicators,
) -> Result<Option<String>, PullError> {
    let mut allowed = Allowance::of_a_feed();
    let mut newest = start.added.clone();
    let mut before = None;
    for _ in 0..PAGES_MAX {
        let (page, added_last) = page(url, client, &start, &mut allowed)?;
        let this = Some(print(&page.objects)).filter(|_| !page.objects.is_empty());
        into.add(page.objects)?;
        newest = added_last.or(newest);
        if !page.more {
            return Ok(newest);
        }
        let then = start.then(page.next, newest.as_deref());
        // There are servers that remember how far they are: the same `next` goes on, as long as something else comes.
        let comes_on = then.next.is_some() && this.is_some() && this != before;
        if then == start && !comes_on {
            return Err(PullError::Endless);
        }
        (start, before) = (then, this);
    }
    Err(PullError::Endless)
}

/// A number by which the objects of one page are told from those of the next.
fn print(objects: &[Box<RawValue>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for object in objects {
        object.get().hash(&mut hasher);
    }
    hasher.finish()
}

impl Start {
    /// A URL that asks for the page.
    pub(super) fn added_to(&self, mut url: String) -> String {
        for (name, value) in [("added_after", &self.added), ("next", &self.next)] {
            if let Some(value) = value {
                url.extend(["&", name, "=", &percent(value, "-._~")]);
            }
        }
        url
    }

    /// Where the next page begins: as the server says, else behind the newest object of this one (TAXII 2.1, 3.5 "Pagination").
    pub(super) fn then(&self, next: Option<String>, newest: Option<&str>) -> Self {
        match next.filter(|next| !next.is_empty()) {
            // The other parameters stay what they were.
            next @ Some(_) => Self {
                added: self.added.clone(),
                next,
            },
            None => Self {
                added: newest.map(str::to_owned),
                next: None,
            },
        }
    }
}

fn page(
    url: &str,
    client: &Client<'_>,
    start: &Start,
    allowed: &mut Allowance,
) -> Result<(Envelope, Option<String>), PullError> {
    // The brackets of match[type] (TAXII 2.1, 3.4 "Filtering"). There are servers that go on only when a limit was asked for.
    let url = start.added_to(format!("{url}?match%5Btype%5D=indicator&limit={PAGE}"));
    let answer = client.get(&url, MEDIA_TYPE, &Marks::default())?;
    // Without marks no server says that nothing has changed.
    let answer = answer.ok_or(PullError::Status { status: 304 })?;
    let added_last = answer.header(&ADDED_LAST);
    let added_last = added_last.filter(|text| text::parse_rfc3339(text).is_some());
    let bytes = answer.bytes(allowed)?;
    Ok((page_of(&bytes)?, added_last))
}

/// The objects of the collection at a URL, whether or not these are named already.
fn objects_url(collection: &str) -> String {
    let base = collection.trim_end_matches('/');
    format!("{}/objects/", base.strip_suffix("/objects").unwrap_or(base))
}

impl Indicators {
    /// Takes the indicators among objects, in place of what is older. A server need not heed `match[type]`.
    pub(super) fn add(&mut self, objects: Vec<Box<RawValue>>) -> Result<(), PullError> {
        for object in objects {
            let about: About =
                serde_json::from_str(object.get()).map_err(|error| PullError::json(&error))?;
            if about.r#type != "indicator" {
                continue;
            }
            // One without an id stands for itself.
            let id = Some(about.id).filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| object.get().to_owned());
            let modified = about.modified.as_deref().and_then(text::parse_rfc3339);
            let is_older = self.0.get(&id).is_some_and(|(than, _)| modified < *than);
            if !is_older {
                self.0.insert(id, (modified, object));
            }
        }
        Ok(())
    }

    /// As a bundle, which is the same bytes for the same indicators.
    pub(super) fn bundle(self, id: String) -> Result<Vec<u8>, PullError> {
        let bundle = Bundle {
            r#type: "bundle".into(),
            id,
            objects: self.0.into_values().map(|(_, object)| object).collect(),
        };
        serde_json::to_vec(&bundle).map_err(|error| PullError::json(&error))
    }
}
