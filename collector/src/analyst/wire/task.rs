//! An administrator's tasks as they travel.

use std::time::Duration;

use proto::analyst::v1 as wire;
use proto::analyst::v1::run_request::Command as Wire;

use super::{OutOfBounds, bounded};
use crate::admin::{Task, VALID_MAX, Whom};
use crate::identity::{Role, Roles};

/// Bytes of a sensor's or an analyst's name, and of an address.
const NAME_MAX: usize = 253;
const ADDRESS_MAX: usize = 300;
/// Roles that are looked at: more than there are.
const ROLES_MAX: usize = 16;

/// A task as a message.
pub(super) fn to_wire(task: Task) -> Wire {
    match task {
        Task::Token {
            whom,
            roles,
            valid,
            address,
        } => Wire::Token(wire::Token {
            whom: Some(match whom {
                Whom::Sensor(name) => wire::token::Whom::Sensor(name),
                Whom::Analyst(name) => wire::token::Whom::Analyst(name),
            }),
            roles: roles.iter().map(role_to_wire).collect(),
            valid_seconds: valid.as_secs(),
            address,
        }),
        Task::Revoke(whom) => Wire::Revoke(wire::Revoke {
            whom: Some(match whom {
                Whom::Sensor(name) => wire::revoke::Whom::Sensor(name),
                Whom::Analyst(name) => wire::revoke::Whom::Analyst(name),
            }),
        }),
        Task::List => Wire::Roles(wire::Roles {
            analyst: None,
            roles: Vec::new(),
        }),
        Task::Give(analyst, roles) => Wire::Roles(wire::Roles {
            analyst: Some(analyst),
            roles: roles.iter().map(role_to_wire).collect(),
        }),
        Task::Rotation => Wire::RotateAuthority(wire::RotateAuthority {}),
    }
}

/// The task of a message that asks for a token.
pub(super) fn token(asked: wire::Token) -> Result<Task, OutOfBounds> {
    let whom = match asked.whom.ok_or(OutOfBounds::Argument("whom"))? {
        wire::token::Whom::Sensor(name) => Whom::Sensor(bounded("sensor", name, NAME_MAX)?),
        wire::token::Whom::Analyst(name) => Whom::Analyst(bounded("analyst", name, NAME_MAX)?),
    };
    let roles = all_roles(&asked.roles)?;
    if matches!(whom, Whom::Analyst(_)) != roles.may(Role::Read) {
        return Err(OutOfBounds::Argument("roles"));
    }
    let valid = Duration::from_secs(asked.valid_seconds);
    if valid.is_zero() || valid > VALID_MAX {
        return Err(OutOfBounds::Argument("valid_seconds"));
    }
    let address = asked
        .address
        .map(|address| bounded("address", address, ADDRESS_MAX))
        .transpose()?;
    Ok(Task::Token {
        whom,
        roles,
        valid,
        address,
    })
}

/// The task of a message that takes something back.
pub(super) fn revoke(asked: wire::Revoke) -> Result<Task, OutOfBounds> {
    Ok(Task::Revoke(
        match asked.whom.ok_or(OutOfBounds::Argument("whom"))? {
            wire::revoke::Whom::Sensor(name) => Whom::Sensor(bounded("sensor", name, NAME_MAX)?),
            wire::revoke::Whom::Analyst(name) => Whom::Analyst(bounded("analyst", name, NAME_MAX)?),
        },
    ))
}

/// The task of a message about roles.
pub(super) fn roles(asked: wire::Roles) -> Result<Task, OutOfBounds> {
    match asked.analyst {
        Some(analyst) => Ok(Task::Give(
            bounded("analyst", analyst, NAME_MAX)?,
            all_roles(&asked.roles)?,
        )),
        None if asked.roles.is_empty() => Ok(Task::List),
        None => Err(OutOfBounds::Argument("analyst")),
    }
}

fn role_to_wire(role: Role) -> i32 {
    match role {
        Role::Read => wire::Role::Read,
        Role::Triage => wire::Role::Triage,
        Role::Reveal => wire::Role::Reveal,
        Role::Administer => wire::Role::Administer,
    }
    .into()
}

/// A role that is not known here is refused: fewer than were meant would be a surprise.
fn all_roles(untrusted: &[i32]) -> Result<Roles, OutOfBounds> {
    let one = |number: &i32| match wire::Role::try_from(*number) {
        Ok(wire::Role::Read) => Ok(Role::Read),
        Ok(wire::Role::Triage) => Ok(Role::Triage),
        Ok(wire::Role::Reveal) => Ok(Role::Reveal),
        Ok(wire::Role::Administer) => Ok(Role::Administer),
        Ok(wire::Role::Unspecified) | Err(_) => Err(OutOfBounds::Argument("roles")),
    };
    if untrusted.len() > ROLES_MAX {
        return Err(OutOfBounds::Argument("roles"));
    }
    untrusted.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{command, request};
    use super::*;
    use crate::analyst::Command;

    #[test]
    fn tasks_travel_and_what_is_out_of_bounds_does_not() {
        let token = |whom: Whom, roles: &[Role], seconds: u64, address: Option<&str>| Task::Token {
            whom,
            roles: roles.iter().copied().collect(),
            valid: Duration::from_secs(seconds),
            address: address.map(str::to_owned),
        };
        let (sensor, analyst) = (
            || Whom::Sensor("ws-12".into()),
            || Whom::Analyst("anna".into()),
        );
        let all = [Role::Read, Role::Triage, Role::Reveal, Role::Administer];
        for sent in [
            token(sensor(), &[], 60, None),
            token(analyst(), &all, 2_592_000, Some("c.example:7444")),
            Task::Revoke(sensor()),
            Task::Revoke(analyst()),
            Task::List,
            Task::Give("anna".into(), Roles::default()),
            Task::Give("anna".into(), all.into_iter().collect()),
            Task::Rotation,
        ] {
            let came = command(request(Command::Administer(sent.clone())));
            let Ok(Command::Administer(came)) = came else {
                panic!("{sent:?}: {came:?}");
            };
            assert_eq!(came, sent);
        }
        let refused = |sent: Task| command(request(Command::Administer(sent))).unwrap_err();
        let long = "a".repeat(254);
        for (sent, argument) in [
            (token(sensor(), &[Role::Read], 60, None), "roles"),
            (token(analyst(), &[], 60, None), "roles"),
            (token(sensor(), &[], 0, None), "valid_seconds"),
            (token(sensor(), &[], 2_592_001, None), "valid_seconds"),
            (token(Whom::Sensor(long.clone()), &[], 60, None), "sensor"),
            (Task::Revoke(Whom::Analyst(long.clone())), "analyst"),
            (Task::Give(long, Roles::default()), "analyst"),
            (token(sensor(), &[], 60, Some(&"a".repeat(301))), "address"),
        ] {
            assert_eq!(refused(sent), OutOfBounds::Argument(argument));
        }
        let role = |roles: Vec<i32>, analyst: Option<&str>| {
            let analyst = analyst.map(str::to_owned);
            super::roles(wire::Roles { analyst, roles })
        };
        for (roles, analyst) in [(vec![0], Some("a")), (vec![5], Some("a")), (vec![1], None)] {
            assert!(role(roles, analyst).is_err());
        }
        assert!(revoke(wire::Revoke { whom: None }).is_err());
    }
}
