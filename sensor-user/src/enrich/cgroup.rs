//! Where a process belongs, by its control group: the systemd unit and the container.
//!
//! **Invariant:** of the names on the path the first unit stands. What lies below it may have been delegated, and its
//! names then are whatever a user chose.

use crate::report::Scope;

/// Hexadecimal digits of a container id, as Docker, containerd, CRI-O and Podman make them.
const CONTAINER_ID_DIGITS: usize = 64;

/// Reads the text of `/proc/PID/cgroup`, cgroups(7).
pub(super) fn scope(untrusted_text: &str) -> Scope {
    let paths = || {
        untrusted_text.lines().filter_map(|line| {
            let (_hierarchy, rest) = line.split_once(':')?;
            rest.split_once(':')
        })
    };
    // In the hybrid layout the unit is in systemd's own hierarchy and the unified one may be empty.
    let systemd =
        paths().find(|(controllers, path)| *controllers == "name=systemd" && *path != "/");
    let unified = paths().find(|(controllers, _)| controllers.is_empty());
    let unit = systemd
        .or(unified)
        .and_then(|(_, path)| unit(path))
        .unwrap_or_default();
    let container = paths()
        .find_map(|(_, path)| container(path))
        .unwrap_or_default();
    Scope { unit, container }
}

fn unit(path: &str) -> Option<String> {
    let kind = |part: &str| {
        part.rsplit('.')
            .next()
            .is_some_and(|kind| kind == "service" || kind == "scope")
    };
    path.split('/').find(|part| kind(part)).map(str::to_owned)
}

fn container(path: &str) -> Option<String> {
    path.split('/').find_map(|part| {
        let name = part.strip_suffix(".scope").unwrap_or(part);
        if let Some(name) = name.strip_prefix("lxc.payload.") {
            return Some(name.to_owned());
        }
        // docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, or ID alone; a monitor is outside.
        let id = name.rsplit('-').next()?;
        let fits = id.len() == CONTAINER_ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit());
        (fits && !name.contains("conmon")).then(|| id.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_containers() {
        let id = "0123456789abcdef".repeat(4);
        for (text, unit, container) in [
            ("0::/system.slice/orthanc.service\n", "orthanc.service", ""),
            (
                "0::/user.slice/user-1000.slice/session-3.scope\n",
                "session-3.scope",
                "",
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/orthanc.service\n",
                "user@1000.service",
                "",
            ),
            ("0::/init.scope\n", "init.scope", ""),
            ("0::/\n", "", ""),
            ("", "", ""),
            ("nonsense\n:::\n", "", ""),
            (
                "8:pids:/\n1:name=systemd:/system.slice/cron.service\n0::/\n",
                "cron.service",
                "",
            ),
            (
                "1:name=systemd:/\n0::/system.slice/ssh.service\n",
                "ssh.service",
                "",
            ),
            ("0::/system.slice/docker-$.scope\n", "docker-$.scope", "$"),
            ("5:devices:/docker/$\n0::/\n", "", "$"),
            (
                "0::/kubepods.slice/pod1.slice/cri-containerd-$.scope\n",
                "cri-containerd-$.scope",
                "$",
            ),
            (
                "0::/machine.slice/libpod-$.scope/container\n",
                "libpod-$.scope",
                "$",
            ),
            (
                "0::/machine.slice/libpod-conmon-$.scope\n",
                "libpod-conmon-$.scope",
                "",
            ),
            (
                "0::/lxc.payload.web/system.slice/nginx.service\n",
                "nginx.service",
                "web",
            ),
        ] {
            let expect = Scope {
                unit: unit.replace('$', &id),
                container: container.replace('$', &id),
            };
            assert_eq!(scope(&text.replace('$', &id)), expect, "{text}");
        }
    }
}
