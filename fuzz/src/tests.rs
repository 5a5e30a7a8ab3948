//! Every seed goes through its target, without a fuzzer: an ordinary test, so that no mistake that was found comes back.

use std::fs;
use std::path::Path;

/// Runs every seed, and every beginning of it.
fn check(name: &str, target: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let mut ran = 0;
    for entry in fs::read_dir(dir).expect("a folder of seeds") {
        let seed = entry.expect("a seed").path();
        let bytes = fs::read(&seed).expect("a seed that can be read");
        println!("{}", seed.display());
        target(&bytes);
        for len in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            target(&bytes[..len]);
        }
        ran += 1;
    }
    assert!(ran > 0, "no seed was run");
}

macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                check(stringify!($name), crate::$name);
            }
        )*
    };
}

targets! {
    block btf collector_config detect feed_list feed_misp feed_misp_manifest feed_onionoo feed_stix feed_warnings
    message payload pull_taxii record request sensor_config sums
}

#[test]
fn every_folder_of_seeds_has_a_target() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for entry in fs::read_dir(seeds).expect("the seeds") {
        let name = entry.expect("a folder").file_name();
        assert!(TARGETS.iter().any(|own| name == *own), "{name:?}");
    }
}
