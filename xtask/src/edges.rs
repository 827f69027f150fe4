//! `cargo xtask edges`: every ordering has a name or a reason, and every name has two ends, a row and a proof.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::proofs::{self, Binary, Row};
use crate::remarks;
use crate::workspace::{self, HotFile};

/// Something to mend, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    message: String,
}

/// Checks the workspace at `root`; prints each violation with its place and what to do. With `list`, prints the edges too.
pub(crate) fn run(root: &Path, list: bool) -> Result<()> {
    let files = workspace::hot_files(root)?;
    let page = root.join(proofs::PAGE);
    let page = if page.exists() {
        Some(std::fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?)
    } else {
        None
    };
    let functions = proofs::functions(root)?;
    if list {
        print_edges(&files);
    }
    let violations = check(&files, page.as_deref(), &functions);
    for violation in &violations {
        println!("{}:{}: {}", violation.file, violation.line, violation.message);
    }
    if !violations.is_empty() {
        bail!("edges: {} to mend (the convention is in CONTRIBUTING.md)", violations.len());
    }
    let sites = files.iter().flat_map(|file| &file.sites);
    let relaxed = sites.clone().filter(|site| site.is_relaxed()).count();
    let (all, edges) = (sites.count(), ends(&files).len());
    println!("edges: {edges} edges, {} orderings and fences, {relaxed} relaxed accesses, all argued", all - relaxed);
    Ok(())
}

/// One end of an edge: `file:line` and what stands there.
struct End<'a> {
    file: &'a HotFile,
    site: &'a crate::sites::Site,
}

/// The edges that orderings and fences name, each with its ends. Relaxed accesses name edges without being an end.
fn ends(files: &[HotFile]) -> BTreeMap<&str, Vec<End<'_>>> {
    let mut ends: BTreeMap<&str, Vec<End<'_>>> = BTreeMap::new();
    for file in files {
        for site in &file.sites {
            for edge in &site.remarks.edges {
                ends.entry(edge).or_default().push(End { file, site });
            }
        }
    }
    ends
}

fn print_edges(files: &[HotFile]) {
    for (edge, ends) in ends(files) {
        println!("{edge}");
        for End { file, site } in ends {
            let side = match (site.stores(), site.loads()) {
                (true, true) => "both",
                (true, false) => "store",
                (false, true) => "load",
                (false, false) => "relaxed",
            };
            println!("    {side:<8}{}:{} {}", file.path, site.line, site.what());
        }
    }
}

fn check(files: &[HotFile], page: Option<&str>, functions: &HashMap<String, Vec<Binary>>) -> Vec<Violation> {
    let mut violations = unnamed(files);
    let ends = ends(files);
    violations.extend(one_sided(&ends));
    let Some(page) = page else {
        let message = "missing: write the edge table (`cargo xtask edges --list` prints its contents)".to_owned();
        violations.push(Violation { file: proofs::PAGE.to_owned(), line: 1, message });
        return violations;
    };
    let rows = proofs::rows(page);
    violations.extend(unlisted(&ends, &rows));
    violations.extend(stale_or_unproved(&ends, &rows, functions));
    violations
}

/// Sites without an edge or a reason, and markers that say nothing.
fn unnamed(files: &[HotFile]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files {
        for site in &file.sites {
            let mut report = |message: String| {
                violations.push(Violation { file: file.path.clone(), line: site.line, message });
            };
            let relaxed = site.is_relaxed();
            if site.remarks.edges.is_empty() && !(relaxed && site.remarks.relaxed) {
                let forms = if relaxed { "`// Relaxed: reason` or `// EDGE: reason`" } else { "`// EDGE: reason`" };
                report(format!("{} has no name: write {forms} on its line or directly above", site.what()));
            }
            if let Some(marker) = &site.remarks.bad_marker {
                report(format!(
                    "`weaken: {marker}` is not understood: write `weaken: equivalent, because …` or `weaken: unmodelled, because …`"
                ));
            }
        }
    }
    violations
}

/// Edges with one end only.
fn one_sided(ends: &BTreeMap<&str, Vec<End<'_>>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (edge, ends) in ends {
        let Some(first) = ends.first() else { continue };
        let mut report = |message: String| {
            violations.push(Violation { file: first.file.path.clone(), line: first.site.line, message });
        };
        if !ends.iter().any(|end| end.site.stores()) {
            report(format!(
                "{edge} has no store side: name it at its Release, AcqRel, SeqCst or fence, or drop the load's"
            ));
        }
        if !ends.iter().any(|end| end.site.loads()) {
            report(format!(
                "{edge} has no load side: name it at its Acquire, AcqRel, SeqCst or fence, or drop the store's"
            ));
        }
    }
    violations
}

/// Edges of the code without a row.
fn unlisted(ends: &BTreeMap<&str, Vec<End<'_>>>, rows: &[Row]) -> Vec<Violation> {
    ends.iter()
        .filter(|(edge, _)| !rows.iter().any(|row| row.edge == **edge))
        .filter_map(|(edge, ends)| {
            let first = ends.first()?;
            let message = format!("{edge} has no row in the edge table of {}: add one", proofs::PAGE);
            Some(Violation { file: first.file.path.clone(), line: first.site.line, message })
        })
        .collect()
}

/// Rows that are malformed, doubled, no longer in the code, or without a proof.
fn stale_or_unproved(
    ends: &BTreeMap<&str, Vec<End<'_>>>,
    rows: &[Row],
    functions: &HashMap<String, Vec<Binary>>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut seen = HashSet::new();
    for Row { line, edge, proofs } in rows {
        let mut report = |message: String| {
            violations.push(Violation { file: proofs::PAGE.to_owned(), line: *line, message });
        };
        if !remarks::is_edge(edge) {
            report(format!("`{edge}` is no edge's name: capitals, digits, `_` and `-`"));
        } else if !ends.contains_key(edge.as_str()) {
            report(format!("no ordering names {edge} any more: remove the row, or name the edge in the code"));
        }
        if !seen.insert(edge) {
            report(format!("a second row for {edge}: merge the two"));
        }
        if !proofs.iter().any(|proof| functions.contains_key(proof)) {
            let tried = if proofs.is_empty() {
                "names no test in backticks".to_owned()
            } else {
                format!("names {}, which is no function in loom-tests", proofs.join(", "))
            };
            report(format!("{edge} is unproved: `Proved by` {tried}; name a test that fails without the edge"));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::Source;
    use crate::sites;

    const PAGE: &str = "# Edges\n\
        | Edge | Store | Load | Protects | Proved by |\n|---|---|---|---|---|\n\
        | `PUBLISH` | a | b | bytes | `bytes_arrive` |\n";

    const CODE: &str = "
        // PUBLISH: bytes visible to the consumer.
        a.store(1, Release);
        b.load(Acquire); // PUBLISH: bytes
        // Relaxed: own cursor.
        c.load(Relaxed);";

    /// The messages for one hot file and one page, with their lines.
    fn messages(code: &str, page: Option<&str>) -> Vec<String> {
        let source = Source::new(code.to_owned());
        let sites = sites::find(&source);
        let files = [HotFile { path: "f.rs".to_owned(), text: source.text, sites }];
        let functions = HashMap::from([("bytes_arrive".to_owned(), vec![Binary::Lib])]);
        check(&files, page, &functions).iter().map(|v| format!("{}:{}: {}", v.file, v.line, v.message)).collect()
    }

    /// Exactly one message, which starts with `start`.
    fn only(code: &str, page: &str, start: &str) {
        let messages = messages(code, Some(page));
        assert_eq!(messages.len(), 1, "{messages:#?}");
        assert!(messages[0].starts_with(start), "{messages:#?}");
    }

    #[test]
    fn argued_code_passes() {
        assert!(messages(CODE, Some(PAGE)).is_empty());
    }

    #[test]
    fn an_ordering_without_a_name_is_reported() {
        only(&format!("{CODE}\nd.load(Acquire);"), PAGE, "f.rs:7: load(Acquire) has no name");
        only(&format!("{CODE}\nd.load(Relaxed);"), PAGE, "f.rs:7: load(Relaxed) has no name");
        only(&format!("{CODE}\nbarrier::light();"), PAGE, "f.rs:7: barrier::light() has no name");
        only(&format!("{CODE}\n// Relaxed: no\nd.load(Acquire);"), PAGE, "f.rs:8: load(Acquire) has no name");
    }

    #[test]
    fn a_bad_marker_is_reported() {
        let code = CODE.replace("// PUBLISH: bytes\n", "// PUBLISH: bytes; weaken: equivalent\n");
        only(&code, PAGE, "f.rs:4: `weaken: equivalent` is not understood");
    }

    #[test]
    fn both_ends_are_needed() {
        only(&CODE.replace("Release", "Acquire"), PAGE, "f.rs:3: PUBLISH has no store side");
        only(&CODE.replace("load(Acquire)", "swap(1, Release)"), PAGE, "f.rs:3: PUBLISH has no load side");
    }

    #[test]
    fn a_row_is_needed_and_must_be_alive() {
        let row = PAGE.lines().last().unwrap();
        only(CODE, &PAGE.replace(row, ""), "f.rs:3: PUBLISH has no row");
        let stale = format!("{PAGE}{}\n", row.replace("PUBLISH", "RECLAIM"));
        only(CODE, &stale, "ARCHITECTURE.md:5: no ordering names RECLAIM");
        only(CODE, &format!("{PAGE}{row}\n"), "ARCHITECTURE.md:5: a second row");
        assert!(messages(CODE, None)[0].starts_with("ARCHITECTURE.md:1: missing"));
    }

    #[test]
    fn a_proof_must_exist() {
        only(CODE, &PAGE.replace("bytes_arrive", "bytes_leave"), "ARCHITECTURE.md:4: PUBLISH is unproved");
        only(CODE, &PAGE.replace('`', ""), "ARCHITECTURE.md:4: PUBLISH is unproved");
    }
}
