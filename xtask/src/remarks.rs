//! What the comments beside an ordering say: its edges, why it may be relaxed, why no model can kill its mutant.
//!
//! A remark counts when it stands on the line of the ordering, or in a block of comment lines above it with nothing but
//! lines of the same statement between (six of them at most). The nearest comment that says enough is the one that counts.

use crate::lexer::Source;

/// How many lines of its own statement may stand between an ordering and the comment above it.
const REACH: usize = 6;

/// Words in capitals that start comments but name no edge.
const NOT_EDGES: [&str; 9] = ["SAFETY", "NOTE", "TODO", "FIXME", "XXX", "HACK", "PANICS", "ERRORS", "WARNING"];

/// Why `weaken` does not run a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// `// weaken: equivalent, because …`: the weaker program behaves alike.
    Equivalent,
    /// `// weaken: unmodelled, because …`: the line does not run in the models.
    Unmodelled,
}

/// What is needed from the comments of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The name of an edge.
    Edge,
    /// The name of an edge, or `Relaxed: reason`.
    EdgeOrReason,
}

/// What the comments at one site say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remarks {
    /// The edges named.
    pub(crate) edges: Vec<String>,
    /// Is there a `Relaxed: reason`?
    pub(crate) relaxed: bool,
    /// Why the mutant of this site is not run.
    pub(crate) excuse: Option<Excuse>,
    /// A marker for `weaken` that is not understood.
    pub(crate) bad_marker: Option<String>,
}

impl Remarks {
    /// The remarks for a site on `line` of a statement that starts on line `statement`.
    pub(crate) fn beside(source: &Source, line: usize, statement: usize, wanted: Wanted) -> Self {
        let mut said = Self::default();
        for block in reachable(source, line, statement) {
            let enough = said.enough(wanted);
            for remark in block.iter().flat_map(|text| text.split("; ").flat_map(|part| part.split(". "))) {
                said.read(remark.trim(), enough);
            }
        }
        said
    }

    fn enough(&self, wanted: Wanted) -> bool {
        !self.edges.is_empty() || (wanted == Wanted::EdgeOrReason && self.relaxed)
    }

    /// Takes in one remark; only markers once enough was said nearer by.
    fn read(&mut self, remark: &str, enough: bool) {
        let Some((name, reason)) = remark.split_once(':') else { return };
        let reason = reason.trim();
        if name == "weaken" {
            self.read_marker(reason);
        } else if enough || reason.is_empty() {
        } else if name == "Relaxed" {
            self.relaxed = true;
        } else if name.split(", ").all(is_edge) {
            for edge in name.split(", ") {
                if !self.edges.iter().any(|known| known == edge) {
                    self.edges.push(edge.to_owned());
                }
            }
        }
    }

    fn read_marker(&mut self, marker: &str) {
        let (verdict, reason) = marker.split_once(", because ").unwrap_or((marker, ""));
        self.excuse = match verdict {
            "equivalent" if !reason.is_empty() => Some(Excuse::Equivalent),
            "unmodelled" if !reason.is_empty() => Some(Excuse::Unmodelled),
            _ => {
                self.bad_marker = Some(marker.to_owned());
                None
            }
        };
    }
}

/// The comments that may speak for `line`, the nearest block first: its own, then those above it.
fn reachable(source: &Source, line: usize, statement: usize) -> Vec<Vec<&str>> {
    let on = |line| source.comments_on(line).map(|comment| comment.text.as_str());
    let mut blocks: Vec<Vec<&str>> = vec![on(line).collect()];
    let (mut between, mut in_block) = (0, false);
    for above in (1..line).rev() {
        if !source.has_code(above) && on(above).next().is_some() {
            if !in_block {
                blocks.push(Vec::new());
            }
            in_block = true;
            if let Some(block) = blocks.last_mut() {
                block.extend(on(above));
            }
            continue;
        }
        in_block = false;
        between += 1;
        if above < statement || between > REACH {
            break;
        }
    }
    blocks
}

/// Is `name` an edge's name: two or more capitals, digits, `_` and `-`, a letter first?
pub(crate) fn is_edge(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '-')
        && !NOT_EDGES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sites;

    /// The remarks of the only site of a function body.
    fn of(body: &str) -> Remarks {
        let source = Source::new(format!("fn f() {{\n{body}\n}}"));
        let mut found = sites::find(&source);
        assert_eq!(found.len(), 1, "one site in {body}");
        found.remove(0).remarks
    }

    #[test]
    fn a_comment_above_or_beside_names_the_edge() {
        assert_eq!(of("// PUBLISH: bytes\na.store(1, Release);").edges, ["PUBLISH"]);
        assert_eq!(of("a.store(1, Release); // PUBLISH: bytes").edges, ["PUBLISH"]);
        assert_eq!(of("// PUBLISH: bytes\n// and more\na.store(1, Release);").edges, ["PUBLISH"]);
        assert_eq!(of("// PUBLISH: bytes\na\n.b()\n.store(\n1,\nRelease,\n);").edges, ["PUBLISH"]);
        assert_eq!(of("a\n// PUBLISH: bytes\n.store(1, Release);").edges, ["PUBLISH"]);
    }

    #[test]
    fn a_comment_elsewhere_does_not() {
        assert!(of("// PUBLISH: bytes\n\na.store(1, Release);").edges.is_empty());
        assert!(of("// PUBLISH: bytes\nb();\na.store(1, Release);").edges.is_empty());
        assert!(of("b(); // PUBLISH: bytes\na.store(1, Release);").edges.is_empty());
        assert!(of("/// PUBLISH: bytes\na.store(1, Release);").edges.is_empty());
        assert!(of("// PUBLISH: bytes\na\n.b()\n.b()\n.b()\n.b()\n.b()\n.b()\n.store(1, Release);").edges.is_empty());
        assert!(of("// PUBLISH: bytes\nif x {\na.store(1, Release);\n}").edges.is_empty());
    }

    #[test]
    fn only_a_name_with_a_reason_counts() {
        assert!(of("// PUBLISH\na.store(1, Release);").edges.is_empty());
        assert!(of("// PUBLISH:\na.store(1, Release);").edges.is_empty());
        assert!(of("// Publish: bytes\na.store(1, Release);").edges.is_empty());
        assert!(of("// SAFETY: bytes\na.store(1, Release);").edges.is_empty());
        assert!(!of("// Relaxed:\na.load(Relaxed);").relaxed);
        assert!(of("// Relaxed: own cursor\na.load(Relaxed);").relaxed);
    }

    #[test]
    fn one_comment_carries_several_remarks() {
        let remarks = of("a.swap(1, AcqRel); // TAKEOVER: dead lane; Relaxed: nothing is read; CLAIM: the slot");
        assert_eq!(remarks.edges, ["TAKEOVER", "CLAIM"]);
        assert!(remarks.relaxed);
        assert_eq!(of("// TAKEOVER, DEATH: all stores\na.store(1, Release);").edges, ["TAKEOVER", "DEATH"]);
        assert!(of("// TAKEOVER, Death: all stores\na.store(1, Release);").edges.is_empty());
    }

    #[test]
    fn the_nearest_comment_that_says_enough_counts() {
        let body = "// TAKEOVER: lane\na.compare_exchange(0, 1,\n// Relaxed: nothing is read\nAcquire)";
        assert_eq!(of(body).edges, ["TAKEOVER"]);
        let nearer = "// TAKEOVER: lane\na.compare_exchange(0, 1,\n// CLAIM: slot\nAcquire)";
        assert_eq!(of(nearer).edges, ["CLAIM"]);
        let marker = "// weaken: equivalent, because x\na.store(1, Release); // CLAIM: slot";
        assert_eq!(of(marker).excuse, Some(Excuse::Equivalent));
    }

    #[test]
    fn markers_need_a_verdict_and_a_reason() {
        let marked = |marker: &str| of(&format!("// A1: x\n// {marker}\na.load(Acquire);"));
        assert_eq!(marked("weaken: equivalent, because y").excuse, Some(Excuse::Equivalent));
        assert_eq!(marked("weaken: unmodelled, because y").excuse, Some(Excuse::Unmodelled));
        for bad in ["weaken: equivalent", "weaken: equivalent, because ", "weaken: fine, because y"] {
            assert_eq!((marked(bad).excuse, marked(bad).bad_marker.is_some()), (None, true), "{bad}");
        }
    }
}
