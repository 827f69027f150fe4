//! The edge table of ARCHITECTURE.md, and the loom tests that it names as proofs.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::lexer::Source;
use crate::workspace;

/// The page that holds the table.
pub(crate) const PAGE: &str = "ARCHITECTURE.md";

/// The columns that the table must have.
const COLUMNS: [&str; 5] = ["Edge", "Store", "Load", "Protects", "Proved by"];

/// One row of the edge table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: usize,
    pub(crate) edge: String,
    /// The names in backticks of the last column, without paths and parentheses.
    pub(crate) proofs: Vec<String>,
}

/// Reads the rows of each edge table under a heading with the word "Edges". Without one there are none.
pub(crate) fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    // The level of the heading we are under, and whether the table's head was seen.
    let (mut under, mut in_table) = (None, false);
    for (index, line) in page.lines().enumerate() {
        let level = line.bytes().take_while(|&byte| byte == b'#').count();
        if level > 0 && line[level..].starts_with(' ') {
            let named = line.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("edges"));
            let ends = under.is_none_or(|outer| level <= outer);
            if named && ends {
                under = Some(level);
            } else if ends {
                under = None;
            }
        }
        let cells = cells(line);
        if under.is_none() || cells.is_empty() {
            in_table = false;
        } else if cells.iter().map(String::as_str).eq(COLUMNS) {
            in_table = true;
        } else if in_table && !cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':'))) {
            let edge = cells[0].trim_matches(|c| matches!(c, '`' | '*')).to_owned();
            let proofs = cells.get(4).map(|cell| names_in(cell)).unwrap_or_default();
            rows.push(Row { line: index + 1, edge, proofs });
        }
    }
    rows
}

/// The trimmed cells of a table row; none if the line is no table row. A bar in backticks or after a backslash is text.
fn cells(line: &str) -> Vec<String> {
    let Some(line) = line.trim().strip_prefix('|') else { return Vec::new() };
    let mut cells = vec![String::new()];
    let (mut code, mut escaped) = (false, false);
    for c in line.chars() {
        code ^= c == '`';
        match cells.last_mut() {
            Some(cell) if c != '|' || code || escaped => cell.push(c),
            _ => cells.push(String::new()),
        }
        escaped = c == '\\';
    }
    if cells.last().is_some_and(|cell| cell.trim().is_empty()) {
        cells.pop();
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn names_in(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.rsplit("::").next())
        .map(|name| name.trim_end_matches("()").to_owned())
        .collect()
}

/// One test binary of loom-tests, as cargo selects it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    /// `--lib`
    Lib,
    /// `--test NAME`
    Test(String),
}

/// Each function in loom-tests, by its name, with the binaries that it is in.
pub(crate) fn functions(root: &Path) -> Result<HashMap<String, Vec<Binary>>> {
    let mut functions: HashMap<String, Vec<Binary>> = HashMap::new();
    for (folder, deep) in [("loom-tests/tests", false), ("loom-tests/src", true)] {
        for file in workspace::rust_files(&root.join(folder), deep)? {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let binary = if deep { Binary::Lib } else { Binary::Test(stem) };
            let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            for name in functions_in(&Source::new(text)) {
                functions.entry(name).or_default().push(binary.clone());
            }
        }
    }
    Ok(functions)
}

fn functions_in(source: &Source) -> Vec<String> {
    (1..source.tokens.len())
        .filter(|&i| source.word(i - 1) == "fn" && source.word(i + 1) == "(")
        .map(|i| source.word(i).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# Book
| Edge | Store | Load | Protects | Proved by |
|---|---|---|---|---|
| OUTSIDE | a | b | c | `d` |
## Happens-before edges
Text.

### Rings
| Edge | Store | Load | Protects | Proved by |
|:---|---|---|---|---|
| `PUBLISH` | `a | b` | c \\| d | bytes | `spsc::bytes_arrive()`, also `order` |
| **RECLAIM** | a | b | slots | someone |

| Other | table |
|---|---|
| STRAY | x |
## Next
| Edge | Store | Load | Protects | Proved by |
|---|---|---|---|---|
| AFTER | a | b | c | `d` |
";

    #[test]
    fn reads_only_edge_tables_under_their_heading() {
        let rows = rows(PAGE);
        let read: Vec<_> = rows.iter().map(|row| (row.line, row.edge.as_str(), row.proofs.join(" "))).collect();
        assert_eq!(read, [(11, "PUBLISH", "bytes_arrive order".to_owned()), (12, "RECLAIM", String::new())]);
    }

    #[test]
    fn functions_are_definitions_not_calls_or_comments() {
        let source = Source::new("fn a() { b(); } // fn c()\nconst D: &str = \"fn d()\"; fn e<T>() {}".to_owned());
        assert_eq!(functions_in(&source), ["a"]);
    }
}
