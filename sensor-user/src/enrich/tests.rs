//! The enricher against a made /proc: who is sent, when, in which order, and with what.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use super::*;
use crate::event::{Edge, EdgeKind, End, Gap, GapReason, Name, RecordId};
use crate::privacy::{Key, TOKEN_PREFIX, generate};

/// A host: processes are directories with what /proc has of them.
struct Host {
    place: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            place: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(host.proc()).unwrap();
        fs::create_dir(host.store()).unwrap();
        fs::write(host.path("passwd"), "root:x:0:0:::\nmeier:x:1000:1000:::\n").unwrap();
        host.runs(1, 0, "/sbin/init", &["init"], 0);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn proc(&self) -> PathBuf {
        self.path("proc")
    }

    fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Makes a process with start time 100 × its number.
    fn runs(&self, pid: u32, parent: u32, exe: &str, arguments: &[&str], uid: u32) {
        let directory = self.proc().join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let start = pid * 100;
        let write = |file: &str, text: &str| fs::write(directory.join(file), text).unwrap();
        write(
            "stat",
            &format!(
                "{pid} (x) y) S {parent} 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 {start} 1 2"
            ),
        );
        write(
            "cmdline",
            &arguments
                .iter()
                .fold(String::new(), |all, one| all + one + "\0"),
        );
        write("status", &format!("Name:\tx\nUid:\t{uid}\t0\t0\t0\n"));
        let login = if uid == 0 { "4294967295" } else { "1000" };
        write("loginuid", login);
        write("sessionid", if uid == 0 { login } else { "3" });
        write(
            "cgroup",
            if uid == 0 {
                "0::/init.scope\n"
            } else {
                "0::/user.slice/session-3.scope\n"
            },
        );
        let link = |target: &Path, name: &str| {
            let at = directory.join(name);
            fs::remove_file(&at).ok();
            std::os::unix::fs::symlink(target, at).unwrap();
        };
        link(Path::new(exe), "exe");
        link(Path::new("/"), "cwd");
    }

    fn works_in(&self, pid: u32, directory: &Path) {
        let at = self.proc().join(pid.to_string()).join("cwd");
        fs::remove_file(&at).unwrap();
        std::os::unix::fs::symlink(directory, at).unwrap();
    }

    fn ends(&self, pid: u32) {
        fs::remove_dir_all(self.proc().join(pid.to_string())).unwrap();
    }

    fn enricher(&self) -> Enricher {
        generate(&self.path("key")).unwrap();
        let key = Key::read(&self.path("key")).unwrap();
        let stores = [Store {
            name: "pacs".into(),
            path: self.store(),
            canonical: self.store(),
            service: None,
            plain: false,
        }];
        let places = Places {
            proc: self.proc(),
            passwd: self.path("passwd"),
        };
        let privacy = Privacy::token(&key, &stores);
        let mut enricher = Enricher::new(places, &stores, privacy, Arc::default());
        enricher.scan();
        enricher
    }
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start_cs: u64::from(pid) * 100,
    }
}

fn record(inode: u64) -> RecordId {
    RecordId {
        device: 1,
        inode,
        generation: 0,
    }
}

fn at(boot_ns: u64, what: What) -> Event {
    Event { boot_ns, what }
}

fn fork(child: u32, parent: u32) -> What {
    What::Fork(Fork {
        child: key(child),
        parent: key(parent),
        holds: false,
    })
}

fn exec(pid: u32, parent: u32, file: &str, arguments: &[&str]) -> What {
    What::Exec(Exec {
        process: key(pid),
        parent: key(parent),
        uid: 1000,
        untrusted_filename: file.into(),
        untrusted_arguments: arguments
            .iter()
            .fold(String::new(), |all, one| all + one + "\0")
            .into(),
        arguments_truncated: false,
        given_bytes: 100,
    })
}

fn exit(pid: u32) -> What {
    What::Exit(Exit { process: key(pid) })
}

fn name(inode: u64, path: &str) -> What {
    What::Name(Name {
        record: record(inode),
        store: StoreId(1),
        is_carrier: false,
        untrusted_path: path.into(),
    })
}

fn access(pid: u32, inode: u64) -> What {
    What::Access(Access {
        process: key(pid),
        store: StoreId(1),
        record: record(inode),
        opens: 1,
        bytes_read: 10,
        bytes_mapped: 0,
        bytes_written: 0,
        changes: 0,
        deletions: 0,
        listings: 0,
        first_boot_ns: 1,
        last_boot_ns: 2,
    })
}

/// A process by its number, a carrier by where it lies.
fn end(end: &End, edge: &NamedEdge) -> String {
    match end {
        End::Process(process) => process.pid.to_string(),
        End::Carrier(..) => edge.carrier.clone(),
    }
}

/// One line per report: `process 7 /bin/x [a b]`, with `+` when it has ended, and `access 7 pacs`.
fn said(reports: &[Report]) -> Vec<String> {
    let line = |report: &Report| match &report.body {
        Body::Process(p) => {
            let ended = if p.exited_boot_ns.is_some() { "+" } else { "" };
            format!(
                "process {}{ended} {} [{}]",
                p.key.pid,
                p.image.executable,
                p.image.arguments.join(" ")
            )
        }
        Body::Access(a) => format!("access {} {}", a.access.process.pid, a.store),
        Body::Flow(f) => format!("flow {}", f.process.pid),
        Body::Edge(e) => format!(
            "edge {} {} {}",
            end(&e.edge.from, e),
            end(&e.edge.to, e),
            e.stores.join(" ")
        ),
        Body::Tamper(t) => format!("tamper {}", t.process.pid),
        Body::Gap(g) => format!("gap {}", g.count),
    };
    reports.iter().map(line).collect()
}

fn process(reports: &[Report], pid: u32) -> Process {
    let found = reports.iter().find_map(|report| match &report.body {
        Body::Process(p) if p.key.pid == pid => Some((**p).clone()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn ancestors_come_before_the_event_once_and_the_rest_of_the_host_stays_here() {
    let host = Host::new();
    host.runs(20, 1, "/usr/bin/bash", &["bash"], 1000);
    host.runs(30, 1, "/usr/bin/private", &["private"], 1000);
    let mut enricher = host.enricher();
    host.runs(40, 20, "/usr/bin/cat", &["cat", "x"], 1000);
    let reports = enricher.turn(vec![
        at(1, fork(40, 20)),
        at(2, exec(40, 20, "/usr/bin/cat", &["cat", "x"])),
        at(3, access(40, 5)),
        at(4, access(40, 6)),
    ]);
    assert_eq!(
        said(&reports),
        [
            "process 1 /sbin/init [init]",
            "process 20 /usr/bin/bash [bash]",
            "process 40 /usr/bin/cat [cat x]",
            "access 40 pacs",
            "access 40 pacs",
        ]
    );
    let cat = process(&reports, 40);
    assert_eq!(
        (cat.parent, cat.owner.uid, &*cat.user),
        (Some(key(20)), 1000, "meier")
    );
    assert_eq!(
        (cat.owner.login_uid, cat.owner.session, &*cat.login_user),
        (Some(1000), Some(3), "meier")
    );
    assert_eq!(cat.scope.unit, "session-3.scope");
    assert_eq!(process(&reports, 1).owner.login_uid, None);
    assert_eq!(process(&reports, 1).parent, None);
    assert!(
        reports.iter().all(|r| r.boot_ns >= 3),
        "a process is said at the time of the event that refers to it"
    );
}

#[test]
fn a_process_that_changes_is_said_again_only_if_it_was_said() {
    let host = Host::new();
    host.runs(20, 1, "/usr/bin/bash", &["bash"], 1000);
    let mut enricher = host.enricher();
    assert_eq!(
        said(&enricher.turn(vec![at(1, exec(20, 1, "/usr/bin/bash", &["bash"]))])),
        Vec::<String>::new()
    );
    enricher.turn(vec![at(2, access(20, 5))]);
    host.runs(20, 1, "/usr/bin/curl", &["curl"], 1000);
    let reports = enricher.turn(vec![
        at(3, exec(20, 1, "/usr/bin/curl", &["curl"])),
        at(4, exit(20)),
        at(5, access(20, 5)),
    ]);
    assert_eq!(
        said(&reports),
        [
            "process 20 /usr/bin/curl [curl]",
            "process 20+ /usr/bin/curl [curl]",
            "access 20 pacs"
        ]
    );
    assert_eq!(process(&reports[1..], 20).exited_boot_ns, Some(4));
}

#[test]
fn a_new_round_says_everything_again() {
    let host = Host::new();
    host.runs(20, 1, "/usr/bin/bash", &["bash"], 1000);
    let mut enricher = host.enricher();
    enricher.turn(vec![at(1, access(20, 5))]);
    assert_eq!(enricher.turn(vec![at(2, access(20, 5))]).len(), 1);
    enricher.begin_round(2);
    assert_eq!(said(&enricher.turn(vec![at(3, access(20, 5))])).len(), 3);
}

#[test]
fn a_process_that_is_gone_has_what_the_events_say_and_its_parent_had() {
    let host = Host::new();
    host.runs(20, 1, "/usr/bin/bash", &["bash"], 1000);
    let mut enricher = host.enricher();
    let reports = enricher.turn(vec![
        at(1, fork(40, 20)),
        at(2, exec(40, 20, "./tool", &["tool"])),
        at(3, exit(40)),
        at(4, access(40, 5)),
    ]);
    assert_eq!(
        said(&reports)[2..],
        ["process 40+ ./tool [tool]", "access 40 pacs"]
    );
    let tool = process(&reports, 40);
    assert_eq!(
        (tool.owner.session, tool.scope.unit.as_str()),
        (Some(3), "session-3.scope")
    );
}

#[test]
fn an_unknown_process_and_an_unknown_store_do_not_hold_an_event_back() {
    let host = Host::new();
    let mut enricher = host.enricher();
    let mut odd = access(99, 5);
    if let What::Access(access) = &mut odd {
        access.store = StoreId(7);
    }
    let gap = Gap {
        reason: GapReason::RingFull,
        count: 9,
        from_boot_ns: 0,
        to_boot_ns: 1,
        detail: String::new(),
    };
    let reports = enricher.turn(vec![
        at(1, odd),
        at(2, access(99, 5)),
        at(3, What::Gap(gap)),
    ]);
    assert_eq!(
        said(&reports),
        ["process 99  []", "access 99 #7", "access 99 pacs", "gap 9"]
    );
    assert_eq!(enricher.metrics.processes_unknown.get(), 1);
    assert_eq!(enricher.metrics.accesses_unnamed.get(), 2);
}

#[test]
fn both_ends_of_an_edge_are_said_before_it() {
    let host = Host::new();
    let mut enricher = host.enricher();
    let end = |pid| End::Process(ProcessKey { pid, start_cs: 5 });
    let edge = Edge {
        from: end(98),
        to: end(99),
        kind: EdgeKind::Ptrace,
        stores: vec![StoreId(1), StoreId(7)],
        times: 1,
        bytes: 8,
        first_boot_ns: 1,
        last_boot_ns: 2,
    };
    let reports = enricher.turn(vec![at(2, What::Edge(edge))]);
    assert_eq!(
        said(&reports),
        ["process 98  []", "process 99  []", "edge 98 99 pacs #7"]
    );
}

#[test]
fn a_process_whose_fork_was_lost_is_looked_up_but_not_one_that_has_its_number_now() {
    let host = Host::new();
    let mut enricher = host.enricher();
    host.runs(50, 1, "/usr/bin/late", &["late"], 1000);
    assert_eq!(
        said(&enricher.turn(vec![at(1, access(50, 5))]))[1],
        "process 50 /usr/bin/late [late]"
    );
    assert_eq!(enricher.metrics.processes_looked_up.get(), 1);
    let other = ProcessKey {
        pid: 50,
        start_cs: 1,
    };
    let What::Access(mut old) = access(50, 5) else {
        unreachable!()
    };
    old.process = other;
    let reports = enricher.turn(vec![at(2, What::Access(old))]);
    assert_eq!(said(&reports)[0], "process 50  []");
}

#[test]
fn comparison_with_proc_finds_lost_exits_and_forks() {
    let host = Host::new();
    host.runs(20, 1, "/usr/bin/bash", &["bash"], 1000);
    host.runs(21, 1, "/usr/bin/quiet", &["quiet"], 1000);
    let mut enricher = host.enricher();
    enricher.turn(vec![at(1, access(20, 5))]);
    host.ends(20);
    host.ends(21);
    host.runs(30, 1, "/usr/bin/new", &["new"], 1000);
    let reports = enricher.reconcile(77);
    assert_eq!(said(&reports), ["process 20+ /usr/bin/bash [bash]"]);
    assert_eq!(process(&reports, 20).exited_boot_ns, Some(77));
    assert_eq!(
        (
            enricher.metrics.exits_missed.get(),
            enricher.metrics.forks_missed.get()
        ),
        (2, 1)
    );
    assert!(enricher.reconcile(78).is_empty());
    fs::remove_dir_all(host.proc()).unwrap();
    assert!(
        enricher.reconcile(79).is_empty(),
        "a /proc that cannot be read is no mass exit"
    );
}

#[test]
fn names_leave_as_tokens_and_equal_names_are_equal() {
    let host = Host::new();
    let mut enricher = host.enricher();
    let reports = enricher.turn(vec![
        at(1, name(5, "doe/1.dcm")),
        at(2, access(1, 5)),
        at(3, access(1, 6)),
    ]);
    let names: Vec<_> = reports
        .iter()
        .filter_map(|r| match &r.body {
            Body::Access(a) => Some(a.name.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        names,
        [Some(enricher.privacy.name(StoreId(1), b"doe/1.dcm")), None]
    );
}

#[test]
fn arguments_with_names_of_records_leave_as_tokens_however_they_are_given() {
    let host = Host::new();
    fs::write(host.store().join("doe.dcm"), "").unwrap();
    host.runs(20, 1, "/usr/bin/bash", &["bash"], 1000);
    host.works_in(20, &host.store());
    let mut enricher = host.enricher();
    let absolute = format!("file=@{}/doe.dcm", host.store().display());
    // By absolute path; by a name in the working directory, of a process that is gone already (its parent's is taken);
    // and by a name in a directory nobody can ask about, because it is that of a record that was seen.
    for (pid, argument, head) in [
        (
            40,
            absolute.as_str(),
            absolute.strip_suffix("doe.dcm").unwrap(),
        ),
        (41, "doe.dcm", ""),
        (42, "/tmp/roe.dcm", "/tmp/"),
    ] {
        let reports = enricher.turn(vec![
            at(1, name(7, "ward/roe.dcm")),
            at(1, fork(pid, 20)),
            at(2, exec(pid, 20, "/bin/x", &["x", argument])),
            at(3, access(pid, 7)),
        ]);
        let shown = &process(&reports, pid).image.arguments[1];
        assert!(
            shown.starts_with(&format!("{head}{TOKEN_PREFIX}")) && !shown.contains("oe.dcm"),
            "{shown}"
        );
    }
}

#[test]
fn arguments_are_split_and_bounded() {
    let split = |bytes: &[u8]| arguments(bytes).0.map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(split(b""), Vec::<Vec<u8>>::new());
    assert_eq!(split(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
    assert_eq!(split(b"a\0b"), [b"a", b"b"]);
    let long = vec![b'x'; ARGUMENTS_BYTES_MAX + 1];
    let (mut parts, cut) = arguments(&long);
    assert!(cut && parts.next().unwrap().len() == ARGUMENTS_BYTES_MAX);
}

#[test]
fn on_this_host_a_process_has_its_ancestors_up_to_the_first() {
    let mut enricher = Enricher::new(Places::default(), &[], Privacy::plain(), Arc::default());
    enricher.scan();
    let me = enricher.proc.key(std::process::id()).unwrap();
    let What::Access(mut mine) = access(0, 5) else {
        unreachable!()
    };
    mine.process = me;
    let reports = enricher.turn(vec![at(1, What::Access(mine))]);
    let chain: Vec<_> = reports
        .iter()
        .filter_map(|report| match &report.body {
            Body::Process(process) => Some((**process).clone()),
            _ => None,
        })
        .collect();
    for pair in chain.windows(2) {
        assert_eq!(pair[1].parent, Some(pair[0].key));
    }
    assert_eq!(chain[0].parent, None, "the first process has none");
    let own = chain.last().unwrap();
    assert_eq!(
        own.image.executable,
        std::env::current_exe().unwrap().to_str().unwrap()
    );
    assert_eq!(own.owner.uid, rustix::process::getuid().as_raw());
    assert_eq!(own.image.arguments, std::env::args().collect::<Vec<_>>());
}
