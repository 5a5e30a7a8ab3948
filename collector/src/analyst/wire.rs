//! Commands as they travel: to messages at the analyst's end, and back, with every bound checked, at the collector's.

mod task;

use proto::analyst::v1 as wire;
use proto::analyst::v1::run_request::Command as Wire;

use super::{Approval, Command, Form};
use crate::admin::Task;
use crate::alerts::Verdict;
use crate::audit::Hash;
use crate::console::AuditFilter;

/// Bytes of a reason.
const WHY_MAX: usize = 4_096;
const ID_MAX: usize = 64;
const SENSOR_MAX: usize = 253;
/// Bytes of what is looked for in the audit log, and of a way's name.
const FILTER_MAX: usize = 256;
const VALUES_MAX: usize = 256;
const VALUE_MAX: usize = 2_048;
const TEXTS_MAX: usize = 1_024;
const TEXTS_BYTES_MAX: usize = 256 * 1024;

/// A message that is no command, or has an argument out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// No command that is known here.
    #[error("the collector does not know this command; it is older than this program")]
    Unknown,
    /// An argument is too long, empty where it must not be, or no value of its kind.
    #[error("{0} is missing, too long, or none of its values")]
    Argument(&'static str),
}

/// A command as a message.
pub fn request(command: Command) -> wire::RunRequest {
    let command = match command {
        Command::Alerts { json } => Wire::Alerts(wire::Alerts { json }),
        Command::Show { id, form } => {
            let form = match form {
                Form::Text => wire::ShowForm::Unspecified,
                Form::Json => wire::ShowForm::Json,
                Form::Svg => wire::ShowForm::Svg,
            };
            let form = form.into();
            Wire::Show(wire::Show { id, form })
        }
        Command::Close { id, verdict, why } => {
            let verdict = match verdict {
                Verdict::TruePositive => wire::Verdict::TruePositive,
                Verdict::FalsePositive => wire::Verdict::FalsePositive,
            };
            let verdict = verdict.into();
            Wire::Close(wire::Close { id, verdict, why })
        }
        Command::Replay {
            from_ns,
            to_ns,
            json,
        } => Wire::Replay(wire::Replay {
            from_ns,
            to_ns,
            json,
        }),
        Command::Events { from_ns, to_ns } => Wire::Events(wire::Events { from_ns, to_ns }),
        Command::Sensors { refused, json } => Wire::Sensors(wire::Sensors { json, refused }),
        Command::Intel { values, json } => Wire::Intel(wire::Intel { values, json }),
        Command::Usual { sensor, json } => Wire::Usual(wire::Usual { sensor, json }),
        Command::Reveal {
            texts,
            alert,
            why,
            json,
        } => Wire::Reveal(wire::Reveal {
            texts,
            alert,
            why,
            json,
        }),
        Command::Audit { filter, json } => Wire::Audit(wire::Audit {
            from_ns: filter.from_ns,
            to_ns: filter.to_ns,
            what: filter.what,
            who: filter.who,
            about: filter.about,
            json,
        }),
        Command::AuditVerify { head } => Wire::AuditVerify(wire::AuditVerify {
            head: head.map(|head| head.to_string()),
        }),
        Command::Approve(asked) => Wire::Approve(wire::Approve {
            id: asked.id,
            name: asked.name,
            why: asked.why,
            agreed: asked.agreed.map(|agreed| agreed.to_string()),
        }),
        Command::Administer(asked) => task::to_wire(asked),
    };
    wire::RunRequest {
        command: Some(command),
    }
}

/// The command of a message from the network.
///
/// # Errors
///
/// It is none, or an argument is out of bounds.
pub fn command(untrusted: wire::RunRequest) -> Result<Command, OutOfBounds> {
    Ok(match untrusted.command.ok_or(OutOfBounds::Unknown)? {
        Wire::Alerts(asked) => Command::Alerts { json: asked.json },
        Wire::Show(asked) => Command::Show {
            form: match asked.form() {
                wire::ShowForm::Unspecified => Form::Text,
                wire::ShowForm::Json => Form::Json,
                wire::ShowForm::Svg => Form::Svg,
            },
            id: bounded("id", asked.id, ID_MAX)?,
        },
        Wire::Close(asked) => Command::Close {
            verdict: match asked.verdict() {
                wire::Verdict::Unspecified => return Err(OutOfBounds::Argument("verdict")),
                wire::Verdict::TruePositive => Verdict::TruePositive,
                wire::Verdict::FalsePositive => Verdict::FalsePositive,
            },
            id: bounded("id", asked.id, ID_MAX)?,
            why: reason(asked.why)?,
        },
        Wire::Replay(asked) => Command::Replay {
            from_ns: asked.from_ns,
            to_ns: asked.to_ns,
            json: asked.json,
        },
        Wire::Events(asked) => Command::Events {
            from_ns: asked.from_ns,
            to_ns: asked.to_ns,
        },
        Wire::Sensors(asked) => Command::Sensors {
            refused: asked.refused,
            json: asked.json,
        },
        Wire::Intel(asked) => Command::Intel {
            values: all(asked.values, "values", VALUES_MAX, VALUE_MAX)?,
            json: asked.json,
        },
        Wire::Usual(asked) => Command::Usual {
            sensor: asked
                .sensor
                .map(|sensor| bounded("sensor", sensor, SENSOR_MAX))
                .transpose()?,
            json: asked.json,
        },
        Wire::Reveal(asked) => reveal(asked)?,
        Wire::Audit(asked) => Command::Audit {
            filter: AuditFilter {
                from_ns: asked.from_ns,
                to_ns: asked.to_ns,
                what: bounded("what", asked.what, FILTER_MAX)?,
                who: bounded("who", asked.who, FILTER_MAX)?,
                about: bounded("about", asked.about, FILTER_MAX)?,
            },
            json: asked.json,
        },
        Wire::AuditVerify(asked) => Command::AuditVerify {
            head: asked.head.map(|head| hash("head", &head)).transpose()?,
        },
        Wire::Approve(asked) => Command::Approve(approval(asked)?),
        Wire::Token(asked) => Command::Administer(task::token(asked)?),
        Wire::Revoke(asked) => Command::Administer(task::revoke(asked)?),
        Wire::Roles(asked) => Command::Administer(task::roles(asked)?),
        Wire::RotateAuthority(wire::RotateAuthority {}) => Command::Administer(Task::Rotation),
    })
}

fn reveal(asked: wire::Reveal) -> Result<Command, OutOfBounds> {
    let texts = all(asked.texts, "texts", TEXTS_MAX, TEXTS_BYTES_MAX)?;
    let alert = asked
        .alert
        .map(|id| bounded("alert", id, ID_MAX))
        .transpose()?;
    if texts.is_empty() == alert.is_none() {
        return Err(OutOfBounds::Argument("texts"));
    }
    Ok(Command::Reveal {
        texts,
        alert,
        why: reason(asked.why)?,
        json: asked.json,
    })
}

fn approval(asked: wire::Approve) -> Result<Approval, OutOfBounds> {
    let name = asked
        .name
        .map(|name| match name.trim() {
            "" => Err(OutOfBounds::Argument("name")),
            _ => bounded("name", name, FILTER_MAX),
        })
        .transpose()?;
    Ok(Approval {
        id: bounded("id", asked.id, ID_MAX)?,
        name,
        why: reason(asked.why)?,
        agreed: asked
            .agreed
            .map(|agreed| hash("agreed", &agreed))
            .transpose()?,
    })
}

fn hash(what: &'static str, digits: &str) -> Result<Hash, OutOfBounds> {
    Hash::parse(digits).ok_or(OutOfBounds::Argument(what))
}

fn bounded(what: &'static str, text: String, max: usize) -> Result<String, OutOfBounds> {
    if text.len() > max {
        return Err(OutOfBounds::Argument(what));
    }
    Ok(text)
}

fn all(
    texts: Vec<String>,
    what: &'static str,
    count_max: usize,
    bytes_max: usize,
) -> Result<Vec<String>, OutOfBounds> {
    if texts.len() > count_max || texts.iter().any(|text| text.len() > bytes_max) {
        return Err(OutOfBounds::Argument(what));
    }
    Ok(texts)
}

fn reason(why: String) -> Result<String, OutOfBounds> {
    if why.trim().is_empty() {
        return Err(OutOfBounds::Argument("why"));
    }
    bounded("why", why, WHY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_travel_and_what_is_out_of_bounds_does_not() {
        let why = "ticket 1".to_owned();
        let good = [
            Command::Show {
                id: "3fa1".into(),
                form: Form::Svg,
            },
            Command::Close {
                id: "3fa1".into(),
                verdict: Verdict::FalsePositive,
                why: why.clone(),
            },
            Command::Usual {
                sensor: Some("ws-12".into()),
                json: false,
            },
            Command::Reveal {
                texts: vec!["token:x".into()],
                alert: None,
                why: why.clone(),
                json: true,
            },
            Command::AuditVerify {
                head: Some(Hash::default()),
            },
            Command::Approve(Approval {
                id: "3fa1".into(),
                name: Some("nightly copy".into()),
                why: why.clone(),
                agreed: Some(Hash::default()),
            }),
        ];
        for sent in good {
            let came = command(request(sent.clone())).unwrap();
            assert_eq!(format!("{came:?}"), format!("{sent:?}"));
        }
        let refused = |sent: Command| command(request(sent)).unwrap_err();
        let close = |id: String, why: &str| Command::Close {
            id,
            verdict: Verdict::TruePositive,
            why: why.into(),
        };
        assert_eq!(
            refused(close("3".repeat(65), "x")),
            OutOfBounds::Argument("id")
        );
        for bad in ["", "  \n", &"x".repeat(4_097)] {
            assert_eq!(
                refused(close("3".into(), bad)),
                OutOfBounds::Argument("why")
            );
        }
        let mut unnamed = Approval {
            id: "3".into(),
            name: Some(" ".into()),
            why: why.clone(),
            agreed: None,
        };
        let approve = |asked: &Approval| refused(Command::Approve(asked.clone()));
        assert_eq!(approve(&unnamed), OutOfBounds::Argument("name"));
        unnamed.name = Some("x".repeat(257));
        assert_eq!(approve(&unnamed), OutOfBounds::Argument("name"));
        let values = Command::Intel {
            values: vec![String::new(); 257],
            json: false,
        };
        assert_eq!(refused(values), OutOfBounds::Argument("values"));
        let nothing = Command::Reveal {
            texts: Vec::new(),
            alert: None,
            why,
            json: false,
        };
        assert_eq!(refused(nothing), OutOfBounds::Argument("texts"));
        let none = wire::RunRequest { command: None };
        assert_eq!(command(none).unwrap_err(), OutOfBounds::Unknown);
    }
}
