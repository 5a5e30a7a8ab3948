//! Feeds that are one file: lists, warning lists, relays of Tor, bundles of STIX.

use super::PullConfig;
use super::client::{Allowance, Client};
use super::error::PullError;
use super::place::{Draft, State};
use crate::intel::feed::{FeedConfig, Kind};

/// Fetches the file, unless the server says that it is as it was; true when it is another.
pub(super) fn pull(
    config: &FeedConfig,
    pull: &PullConfig,
    client: &Client<'_>,
    state: &mut State,
) -> Result<bool, PullError> {
    let Some(answer) = client.get(&pull.url, "*/*", &state.marks(config))? else {
        return Ok(false);
    };
    // A page could pass for a list with much left out; of the other kinds the form tells.
    if config.kind == Kind::List && answer.is_page() {
        return Err(PullError::Page);
    }
    state.marks = answer.marks();
    let mut draft = Draft::new(&config.path)?;
    answer.each(&mut Allowance::of_a_feed(), |part| draft.write(part))?;
    draft.try_as(config)?;
    if draft.is_as_before() {
        return Ok(false);
    }
    draft.keep()?;
    Ok(true)
}
