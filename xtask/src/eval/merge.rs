//! A scenario's `config.toml`, laid over the configurations that the daemons would get anyway.
//!
//! `[[store]]` and the table `[sensor]` are the sensor's, everything else is the collector's. In texts `$SINK`, `$APPROVED`,
//! `$STORE` and `$WORK` (also `${SINK}` and so on) stand for what the scripts find under these names, `$HOURS_NOW` and `$HOURS_OTHER`
//! for hours of the day in UTC among which the present one is and is not.
//!
//! **Invariant:** pure; tables are merged, lists are appended, other values replaced.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

/// Name and value of each placeholder.
pub(super) type Names<'a> = [(&'a str, String)];

/// The collector's and the sensor's part of a scenario's configuration.
pub(super) fn split(config: &Table, names: &Names<'_>) -> [Table; 2] {
    let mut collector = config.clone();
    fill_table(&mut collector, names);
    let mut sensor = match collector.remove("sensor") {
        Some(Value::Table(table)) => table,
        _ => Table::new(),
    };
    if let Some(stores) = collector.remove("store") {
        sensor.insert("store".to_owned(), stores);
    }
    [collector, sensor]
}

/// Merges `more` into the configuration in a file.
///
/// # Errors
/// The file cannot be read or written.
pub(super) fn into_file(file: &Path, more: Table) -> Result<()> {
    let text =
        fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let mut config: Table = text
        .parse()
        .with_context(|| format!("failed to read {}", file.display()))?;
    merge(&mut config, more);
    fs::write(file, config.to_string())
        .with_context(|| format!("failed to write {}", file.display()))
}

fn merge(into: &mut Table, more: Table) {
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(table)), Value::Table(more)) => merge(table, more),
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn fill_table(table: &mut Table, names: &Names<'_>) {
    for (_, value) in table.iter_mut() {
        fill(value, names);
    }
}

fn fill(value: &mut Value, names: &Names<'_>) {
    match value {
        Value::String(text) => {
            for (name, with) in names {
                *text = text
                    .replace(&format!("${{{name}}}"), with)
                    .replace(&format!("${name}"), with);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| fill(value, names)),
        Value::Table(table) => fill_table(table, names),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_split_filled_and_merged() {
        let config: Table = "[detect.direct]\nread_bytes_min = 1\n[[approved]]\n\
             destination = \"${APPROVED}/32:$PORT\"\n[[store]]\npath = \"$WORK/x\"\n[sensor.kernel]\ntick_ms = 100\n"
            .parse()
            .unwrap();
        let names = [
            ("APPROVED", "192.0.2.2".to_owned()),
            ("WORK", "/w".to_owned()),
        ];
        let [collector, sensor] = split(&config, &names);
        assert_eq!(
            collector["approved"][0]["destination"].as_str(),
            Some("192.0.2.2/32:$PORT")
        );
        assert!(!collector.contains_key("sensor") && !collector.contains_key("store"));
        assert_eq!(sensor["kernel"]["tick_ms"].as_integer(), Some(100));
        let mut own: Table = "listen = \"a\"\n[[store]]\npath = \"/s\"\n"
            .parse()
            .unwrap();
        merge(&mut own, sensor);
        assert_eq!(own["store"].as_array().map(Vec::len), Some(2));
        assert_eq!(own["store"][1]["path"].as_str(), Some("/w/x"));
    }
}
