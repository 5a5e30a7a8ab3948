//! `tls` in the configuration: a table, or the word that turns it off.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize as _;

use super::Tls;
use super::raw::{Refused, absolute, bounded, refused};
use crate::identity::can_be_certified;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Host names or IP addresses; default: none.
    #[serde(default)]
    names: Vec<String>,
    /// 1 to 397; default 30.
    valid_days: Option<u64>,
    /// Absolute paths, all three or none.
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
}

/// Checks what is written; nothing written is the collector's own authority.
pub(super) fn check(written: Option<toml::Value>, listen: SocketAddr) -> Result<Tls, Refused> {
    let table = match written {
        None => Table::default(),
        Some(toml::Value::String(word)) => return off(&word, listen),
        Some(table) => Table::deserialize(table)
            .map_err(|error| refused("tls", error.message().trim_end().to_owned()))?,
    };
    table.check()
}

/// Without TLS anybody could say any name, so only this machine may reach the port.
fn off(word: &str, listen: SocketAddr) -> Result<Tls, Refused> {
    if word != "off" {
        let reason = format!("{word:?} is neither \"off\" nor a table; leave it out for TLS");
        return Err(refused("tls", reason));
    }
    if !listen.ip().is_loopback() {
        let reason = format!(
            "\"off\" is for a loopback address only, and listen is {listen}; leave it out, or listen on 127.0.0.1"
        );
        return Err(refused("tls", reason));
    }
    Ok(Tls::Off)
}

impl Table {
    fn check(self) -> Result<Tls, Refused> {
        let days = bounded("tls.valid_days", self.valid_days, 30, 1, 397)?;
        match (self.certificate, self.key, self.client_ca) {
            (None, None, None) => own(self.names, days),
            (Some(certificate), Some(key), Some(client_ca)) => {
                absolute("tls.certificate", &certificate)?;
                absolute("tls.key", &key)?;
                absolute("tls.client_ca", &client_ca)?;
                given(&self.names, self.valid_days)?;
                Ok(Tls::Given {
                    certificate,
                    key,
                    client_ca,
                })
            }
            _ => Err(refused(
                "tls",
                "certificate, key and client_ca belong together; give all three, or none for the collector's own authority".to_owned(),
            )),
        }
    }
}

fn own(names: Vec<String>, days: u64) -> Result<Tls, Refused> {
    let fits = |name: &String| name.parse::<std::net::IpAddr>().is_ok() || can_be_certified(name);
    if let Some(wrong) = names.iter().find(|name| !fits(name)) {
        let reason = format!("{wrong:?} is no host name and no IP address");
        return Err(refused("tls.names", reason));
    }
    let valid = Duration::from_hours(24 * days);
    Ok(Tls::Own { names, valid })
}

/// With a hospital's authority the collector certifies nobody.
fn given(names: &[String], valid_days: Option<u64>) -> Result<(), Refused> {
    let reason =
        "is for the collector's own authority; with certificate, key and client_ca leave it out";
    match (names, valid_days) {
        ([], None) => Ok(()),
        ([_, ..], _) => Err(refused("tls.names", reason.to_owned())),
        ([], Some(_)) => Err(refused("tls.valid_days", reason.to_owned())),
    }
}
