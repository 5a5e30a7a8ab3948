//! What a start makes or loads that the audit log has to tell: the authority, and the hospital's key; and the analysts' port.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::StartError;
use crate::audit::{Action, Desk, Entry};
use crate::config::Config;
use crate::identity::Server;
use crate::privacy::{Key, KeyError};

/// The hospital's key, made when there never was one.
pub(super) fn key(config: &Config, audit: &Desk) -> Result<Option<Key>, StartError> {
    let Some(file) = &config.token_key else {
        return Ok(None);
    };
    match Key::read(file) {
        Ok(key) => Ok(Some(key)),
        Err(KeyError::Missing(_)) => {
            // One that is gone must not be replaced in silence: nobody could turn back any token from before.
            let was_made = audit.has(|entry| {
                entry.what == Action::KeyMade.name() && entry.about == file.to_string_lossy()
            })?;
            if was_made {
                return Err(KeyError::Gone(file.clone()).into());
            }
            audit.ready()?;
            let key = Key::make(file)?;
            tracing::info!(file = %file.display(), "made the key for names of records; keep a copy of it where only administrators get at it, and apart from the log");
            let entry = Entry::new(Action::KeyMade).about(&file.to_string_lossy());
            audit.must(&entry.with("key", &key.mark()))?;
            Ok(Some(key))
        }
        Err(error) => Err(error.into()),
    }
}

/// Says in the audit log which authority is worked with.
pub(super) fn authority(audit: &Desk, tls: Option<&Server>, was_there: bool) {
    if let Some(authorities) = tls.and_then(Server::authorities) {
        let what = if was_there {
            Action::AuthorityLoaded
        } else {
            Action::AuthorityMade
        };
        let fingerprint = authorities.borrow().current().fingerprint();
        audit.note(Entry::new(what).with("sha256", &fingerprint));
    }
}

/// What the audit log has of a start.
pub(super) fn started(address: SocketAddr) -> Entry {
    Entry::new(Action::CollectorStarted)
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("listen", &address.to_string())
}

/// The port for analysts, if they are listened to.
pub(super) async fn analyst_listener(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = config.analysts else {
        return Ok(None);
    };
    let listen_error = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    tracing::info!(%address, "listening for analysts");
    Ok(Some(listener))
}
