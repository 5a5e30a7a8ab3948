//! The arrows between the crates, and who may link the libraries of the kernel side.
//!
//! **Invariant:** judged on what cargo resolved (`cargo metadata`), not on the text of manifests. `aya-ebpf` exports its own
//! `memcpy`, so it must never get into a program of the host.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{CRATES, Finding};
use crate::step::{capture, cargo};

/// Which crate may depend on which, by kind of dependency.
const ARROWS: &[(&str, &str, Kind)] = &[
    ("sensor-user", "sensor-ebpf", Kind::Normal),
    ("sensor-user", "sensor-ebpf", Kind::Build),
    ("sensor-user", "proto", Kind::Normal),
    ("sensor-user", "aya", Kind::Normal),
    ("sensor-user", "aya-obj", Kind::Normal),
    ("sensor-user", "aya-log", Kind::Normal),
    ("sensor-user", "aya-build", Kind::Build),
    ("sensor-ebpf", "aya-ebpf", Kind::Bpf),
    ("sensor-ebpf", "aya-log-ebpf", Kind::Bpf),
    ("collector", "proto", Kind::Normal),
];

/// Libraries that only run in the kernel.
const KERNEL_ONLY: [&str; 2] = ["aya-ebpf", "aya-log-ebpf"];

/// The platform whose tree is a host's.
const HOST: &str = "x86_64-unknown-linux-gnu";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Build,
    Dev,
    /// A normal dependency, but on the BPF target only.
    Bpf,
}

/// The part of cargo's metadata that is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    id: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    target: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
}

/// Asks cargo for the workspace as it is resolved for a host.
pub(super) fn metadata() -> Result<Metadata> {
    let mut command = cargo();
    command.args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        HOST,
    ]);
    let text = capture(&mut command)?;
    serde_json::from_str(&text).context("failed to read what cargo metadata printed")
}

/// Finds arrows that nobody drew, and kernel libraries in a host's tree.
///
/// # Errors
/// When a room is not in the metadata, so that nothing could be found.
pub(super) fn check(metadata: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for room in CRATES {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name == room);
        let package =
            package.with_context(|| format!("cargo metadata does not know the room {room}"))?;
        findings.extend(
            package
                .dependencies
                .iter()
                .filter_map(|dependency| judge(room, dependency)),
        );
    }
    ensure!(
        !metadata.resolve.nodes.is_empty(),
        "cargo metadata resolved nothing"
    );
    for library in KERNEL_ONLY {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name == library);
        if package.is_some_and(|package| {
            metadata
                .resolve
                .nodes
                .iter()
                .any(|node| node.id == package.id)
        }) {
            let what = format!(
                "{library} is part of a host's dependency tree (see `cargo tree -i {library}`)"
            );
            findings.push(Finding {
                path: "Cargo.lock".into(),
                line: 0,
                what,
            });
        }
    }
    Ok(findings)
}

fn judge(room: &str, dependency: &Dependency) -> Option<Finding> {
    let name = dependency.name.as_str();
    let is_drawn = CRATES.contains(&name) || name == "aya" || name.starts_with("aya-");
    let kind = kind_of(dependency);
    if !is_drawn || ARROWS.contains(&(room, name, kind)) {
        return is_undue_library(room, dependency);
    }
    let what = format!("the arrow {room} -> {name} ({kind:?}) is not drawn");
    Some(Finding {
        path: format!("{room}/Cargo.toml"),
        line: 0,
        what,
    })
}

/// The border layout depends on nothing, so the crate that holds it may not either, on a host.
fn is_undue_library(room: &str, dependency: &Dependency) -> Option<Finding> {
    let undue = room == "sensor-ebpf" && kind_of(dependency) == Kind::Normal;
    undue.then(|| Finding {
        path: format!("{room}/Cargo.toml"),
        line: 0,
        what: format!(
            "the layout depends on nothing, but {} is there for every target",
            dependency.name
        ),
    })
}

fn kind_of(dependency: &Dependency) -> Kind {
    let only_bpf = dependency
        .target
        .as_deref()
        .is_some_and(|target| target.contains("target_arch = \"bpf\""));
    match dependency.kind.as_deref() {
        Some("build") => Kind::Build,
        Some("dev") => Kind::Dev,
        _ if only_bpf => Kind::Bpf,
        _ => Kind::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn package(name: &str, dependencies: &Value) -> Value {
        json!({ "name": name, "id": format!("id {name}"), "dependencies": dependencies })
    }

    fn workspace(sensor_ebpf: &Value, collector: &Value, nodes: &[&str]) -> Metadata {
        let ids: Vec<Value> = nodes
            .iter()
            .map(|name| json!({ "id": format!("id {name}") }))
            .collect();
        let none = json!([]);
        let packages = json!([
            package("sensor-ebpf", sensor_ebpf),
            package(
                "sensor-user",
                &json!([{ "name": "aya-build", "kind": "build", "target": null }])
            ),
            package("collector", collector),
            package("proto", &none),
            package("xtask", &none),
            package("aya-ebpf", &none),
        ]);
        serde_json::from_value(json!({ "packages": packages, "resolve": { "nodes": ids } }))
            .unwrap()
    }

    fn on_bpf(name: &str) -> Value {
        json!([{ "name": name, "kind": null, "target": "cfg(target_arch = \"bpf\")" }])
    }

    fn found(metadata: &Metadata) -> Vec<String> {
        check(metadata)
            .unwrap()
            .into_iter()
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn the_drawn_house_passes() {
        let collector = json!([
            { "name": "proto", "kind": null, "target": null },
            { "name": "tokio", "kind": null, "target": null },
        ]);
        assert_eq!(
            found(&workspace(&on_bpf("aya-ebpf"), &collector, &["collector"])),
            Vec::<String>::new()
        );
    }

    #[test]
    fn undrawn_arrows_are_found() {
        for name in ["sensor-user", "aya", "xtask", "sensor-ebpf"] {
            let collector = json!([{ "name": name, "kind": "dev", "target": null }]);
            let found = found(&workspace(&json!([]), &collector, &["collector"]));
            assert_eq!(
                found,
                [format!(
                    "collector/Cargo.toml: the arrow collector -> {name} (Dev) is not drawn"
                )]
            );
        }
    }

    #[test]
    fn the_layout_depends_on_nothing() {
        let everywhere = json!([{ "name": "libc", "kind": null, "target": null }]);
        assert_eq!(
            found(&workspace(&everywhere, &json!([]), &["collector"])).len(),
            1
        );
        let everywhere = json!([{ "name": "aya-ebpf", "kind": null, "target": null }]);
        assert_eq!(
            found(&workspace(&everywhere, &json!([]), &["collector"])).len(),
            1
        );
    }

    #[test]
    fn kernel_libraries_in_a_host_tree_are_found() {
        let found = found(&workspace(
            &on_bpf("aya-ebpf"),
            &json!([]),
            &["collector", "aya-ebpf"],
        ));
        assert_eq!(found.len(), 1);
        assert!(
            found
                .iter()
                .all(|text| text.contains("aya-ebpf is part of a host's")),
            "{found:?}"
        );
    }

    #[test]
    fn a_missing_room_is_an_error() {
        let empty: Metadata =
            serde_json::from_value(json!({ "packages": [], "resolve": { "nodes": [] } })).unwrap();
        assert!(check(&empty).is_err());
    }
}
