//! `[privacy]` in the configuration: where the hospital's key for names lies, if this collector has it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::TOKEN_KEY;
use super::raw::{Refused, absolute, refused};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Privacy {
    /// Absolute path; default keys/token.key of the data directory.
    key_file: Option<PathBuf>,
    /// Default true.
    hold_key: Option<bool>,
}

impl Privacy {
    /// The key's file; none when there is to be no key.
    pub(super) fn check(self, data_dir: &Path) -> Result<Option<PathBuf>, Refused> {
        match (self.key_file, self.hold_key.unwrap_or(true)) {
            (None, true) => Ok(Some(data_dir.join(TOKEN_KEY))),
            (None, false) => Ok(None),
            (Some(file), true) => {
                absolute("privacy.key_file", &file)?;
                Ok(Some(file))
            }
            (Some(_), false) => Err(refused(
                "privacy.hold_key",
                "is false, and privacy.key_file names a key; leave one of the two out".to_owned(),
            )),
        }
    }
}
