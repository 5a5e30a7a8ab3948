//! What the sensor needs of the machine, looked at before anything is loaded. Each failure says what to change.
//!
//! Whether a hook backend works is not judged here: that is found out by trying it.
//!
//! **Invariant:** [`judge`] is pure; only [`Facts::gather`] looks at the machine, and nothing here changes it.

use std::fmt;
use std::path::Path;

use crate::mounts::{self, Mounts};

/// What was found on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Size of `/sys/kernel/btf/vmlinux`; none if it cannot be read.
    pub btf_bytes: Option<u64>,
    /// Effective capabilities, a bit each, `CapEff` of `/proc/self/status`.
    pub capabilities: u64,
    /// Inode number of the pid namespace, `/proc/self/ns/pid`; none if it cannot be read.
    pub pid_namespace: Option<u64>,
    /// `/proc/self/mountinfo`.
    pub mountinfo: String,
}

/// One thing that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What was looked at.
    pub subject: &'static str,
    /// What was found, or what is wrong and what to change.
    pub outcome: Result<String, String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(found) => write!(f, "ok    {}: {found}", self.subject),
            Err(problem) => write!(f, "FAIL  {}: {problem}", self.subject),
        }
    }
}

/// Inode number of the initial pid namespace: `PROC_PID_INIT_INO`, `include/linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// A capability the sensor needs: number (include/uapi/linux/capability.h), name, what for.
const CAPABILITIES: [(u32, &str, &str); 5] = [
    (39, "CAP_BPF", "to load kernel programs"),
    (38, "CAP_PERFMON", "to attach them to hooks"),
    (
        12,
        "CAP_NET_ADMIN",
        "to attach them to the control group root",
    ),
    (19, "CAP_SYS_PTRACE", "to read /proc/PID/exe of other users"),
    (2, "CAP_DAC_READ_SEARCH", "to open the roots of stores"),
];
/// Stands for `CAP_BPF` and `CAP_PERFMON`, as it did before they existed.
const CAP_SYS_ADMIN: u32 = 21;

impl Facts {
    /// Looks at this machine. What cannot be read is judged as missing.
    #[must_use]
    pub fn gather() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            btf_bytes: Path::new("/sys/kernel/btf/vmlinux")
                .metadata()
                .ok()
                .map(|meta| meta.len()),
            capabilities: effective(&status),
            pid_namespace: std::fs::read_link("/proc/self/ns/pid")
                .ok()
                .and_then(|link| namespace(&link)),
            mountinfo: String::from_utf8_lossy(&std::fs::read(mounts::TABLE).unwrap_or_default())
                .into_owned(),
        }
    }
}

/// The verdicts, in the order a person would put things right.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Verdict> {
    let verdict = |subject, outcome| Verdict { subject, outcome };
    vec![
        verdict("kernel types (BTF)", btf(facts.btf_bytes)),
        verdict("capabilities", capabilities(facts.capabilities)),
        verdict("process namespace", pid_namespace(facts.pid_namespace)),
        verdict("control groups", control_groups(&facts.mountinfo)),
    ]
}

fn btf(bytes: Option<u64>) -> Result<String, String> {
    match bytes {
        Some(bytes) if bytes > 0 => Ok(format!("/sys/kernel/btf/vmlinux, {bytes} bytes")),
        _ => Err("/sys/kernel/btf/vmlinux is not there; use a kernel built with CONFIG_DEBUG_INFO_BTF=y \
             (Debian 11 and later have one), and mount sysfs on /sys"
            .to_owned()),
    }
}

fn capabilities(effective: u64) -> Result<String, String> {
    let has = |number: u32| effective & (1 << number) != 0;
    let stood_for = |number: u32| number >= 38 && has(CAP_SYS_ADMIN);
    let missing: Vec<String> = CAPABILITIES
        .iter()
        .filter(|(number, ..)| !has(*number) && !stood_for(*number))
        .map(|(_, name, what_for)| format!("{name} ({what_for})"))
        .collect();
    if missing.is_empty() {
        return Ok("all that are needed".to_owned());
    }
    Err(format!(
        "missing {}; run as root, or by the unit file, which grants them",
        missing.join(", ")
    ))
}

fn pid_namespace(inode: Option<u64>) -> Result<String, String> {
    match inode {
        Some(INITIAL_PID_NAMESPACE) => Ok("the host's own".to_owned()),
        Some(inode) => Err(format!(
            "{inode} is not the host's own, so process numbers of kernel and /proc differ; run the sensor on the host, \
             or in a container with --pid=host"
        )),
        None => Err("/proc/self/ns/pid cannot be read; mount proc on /proc".to_owned()),
    }
}

fn control_groups(mountinfo: &str) -> Result<String, String> {
    Mounts::parse(mountinfo.as_bytes()).cgroup2().map(|root| root.display().to_string()).ok_or_else(|| {
        "no cgroup2 file system is mounted with its root; run `mount -t cgroup2 none /sys/fs/cgroup/unified`".to_owned()
    })
}

/// `CapEff` of `/proc/PID/status`; none at all if it is not there.
fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(0)
}

/// The number in `pid:[4026531836]`.
fn namespace(link: &Path) -> Option<u64> {
    link.to_str()?
        .strip_prefix("pid:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "25 30 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";

    fn good() -> Facts {
        Facts {
            btf_bytes: Some(5_000_000),
            capabilities: u64::MAX,
            pid_namespace: Some(4_026_531_836),
            mountinfo: UNIFIED.to_owned(),
        }
    }

    #[test]
    fn each_failure_says_what_to_change() {
        let without = |number: u32| !(1u64 << number);
        assert!(
            judge(&good()).iter().all(|verdict| verdict.outcome.is_ok()),
            "{:?}",
            judge(&good())
        );
        for (facts, subject, words) in [
            (
                Facts {
                    btf_bytes: None,
                    ..good()
                },
                "BTF",
                &["CONFIG_DEBUG_INFO_BTF"][..],
            ),
            (
                Facts {
                    btf_bytes: Some(0),
                    ..good()
                },
                "BTF",
                &["CONFIG_DEBUG_INFO_BTF"],
            ),
            (
                Facts {
                    capabilities: 0,
                    ..good()
                },
                "capabilities",
                &["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "root"],
            ),
            (
                Facts {
                    capabilities: without(19),
                    ..good()
                },
                "capabilities",
                &["missing CAP_SYS_PTRACE (", "unit file"],
            ),
            (
                Facts {
                    pid_namespace: Some(7),
                    ..good()
                },
                "namespace",
                &["--pid=host"],
            ),
            (
                Facts {
                    pid_namespace: None,
                    ..good()
                },
                "namespace",
                &["mount proc"],
            ),
            (
                Facts {
                    mountinfo: String::new(),
                    ..good()
                },
                "control groups",
                &["mount -t cgroup2"],
            ),
        ] {
            let failed: Vec<String> = judge(&facts)
                .iter()
                .filter(|verdict| verdict.outcome.is_err())
                .map(ToString::to_string)
                .collect();
            assert_eq!(failed.len(), 1, "{failed:?}");
            for word in words.iter().chain([&subject, &"FAIL"]) {
                assert!(failed[0].contains(word), "{failed:?} lacks {word}");
            }
        }
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon_only() {
        let admin = 1 << CAP_SYS_ADMIN;
        let rest = (1 << 12) | (1 << 19) | (1 << 2);
        assert!(capabilities(admin | rest).is_ok());
        assert!(capabilities(rest).is_err());
        assert!(
            capabilities(admin)
                .is_err_and(|e| e.contains("CAP_NET_ADMIN") && !e.contains("CAP_BPF"))
        );
    }

    #[test]
    fn status_and_links_are_read() {
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            0x1ff_ffff_ffff
        );
        assert_eq!(effective(""), 0);
        assert_eq!(
            namespace(Path::new("pid:[4026531836]")),
            Some(INITIAL_PID_NAMESPACE)
        );
    }
}
