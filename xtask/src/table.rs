//! Figures for people and for programs: one table on standard output, and the same rows as JSON.
//!
//! **Invariant:** both come from the same rows; a figure is never formatted twice.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::Value;

/// Characters to a line; longer texts wrap within their cell.
const WIDTH: u16 = 120;

/// Rows under named columns; the names are the keys of the JSON objects.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, one value per column; `Value::Null` where there is none (shown as an empty cell).
    ///
    /// # Panics
    /// When the row has not one value per column, which is a mistake in the caller.
    pub(crate) fn push(&mut self, row: impl IntoIterator<Item = Value>) {
        let row: Vec<Value> = row.into_iter().collect();
        assert_eq!(
            row.len(),
            self.columns.len(),
            "a row needs a value for each of {:?}",
            self.columns
        );
        self.rows.push(row);
    }

    /// Prints the table on standard output and, when `json` names a file, writes the rows there.
    pub(crate) fn report(&self, json: Option<&Path>) -> Result<()> {
        self.print(&mut std::io::stdout().lock())?;
        json.map_or(Ok(()), |path| self.write_json(path))
    }

    /// Prints the table for people: numbers to the right, text to the left.
    pub(crate) fn print(&self, out: &mut dyn Write) -> Result<()> {
        let mut table = comfy_table::Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDTH);
        table.set_header(&self.columns);
        for row in &self.rows {
            table.add_row(row.iter().map(cell).collect::<Vec<_>>());
        }
        writeln!(out, "{table}").context("failed to print the table")
    }

    /// Writes the rows as a JSON array of flat objects, keys in the order of the columns.
    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("failed to encode the rows")?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::new(""),
        Value::String(text) => Cell::new(text),
        Value::Number(number) => Cell::new(number).set_alignment(CellAlignment::Right),
        other => Cell::new(other),
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in &self.rows {
            rows.serialize_element(&Object {
                columns: &self.columns,
                row,
            })?;
        }
        rows.end()
    }
}

/// One row as an object; the library's own map would sort the keys.
struct Object<'a> {
    columns: &'a [&'static str],
    row: &'a [Value],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.row.len()))?;
        for (column, value) in self.columns.iter().zip(self.row) {
            map.serialize_entry(column, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Table {
        let mut table = Table::new(&["name", "bytes"]);
        table.push([json!("cat"), json!(2000)]);
        table.push([json!("tar"), Value::Null]);
        table
    }

    #[test]
    fn json_holds_flat_objects_in_column_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.json");
        sample().write_json(&path).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let compact: String = text.split_whitespace().collect();
        assert_eq!(
            compact,
            r#"[{"name":"cat","bytes":2000},{"name":"tar","bytes":null}]"#
        );
    }

    #[test]
    fn people_see_every_value() {
        let mut out = Vec::new();
        sample().print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for word in ["name", "bytes", "cat", "2000", "tar"] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = sample()
            .write_json(Path::new("/nonexistent/rows.json"))
            .unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/rows.json"),
            "{error}"
        );
    }
}
