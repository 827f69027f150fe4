//! Finds every memory ordering, fence and barrier call of a source file, and the comments that argue for it.
//!
//! `edges` reads the arguments, `weaken` tries each site without its ordering: both see the same sites.

use std::collections::HashSet;
use std::ops::Range;

use crate::lexer::{Kind, Source};
use crate::remarks::{Remarks, Wanted};

/// A memory ordering by its name in `core::sync::atomic::Ordering`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Relaxed,
    Acquire,
    Release,
    AcqRel,
    SeqCst,
}

impl Order {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "Relaxed" => Self::Relaxed,
            "Acquire" => Self::Acquire,
            "Release" => Self::Release,
            "AcqRel" => Self::AcqRel,
            "SeqCst" => Self::SeqCst,
            _ => return None,
        })
    }
}

/// What stands at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// An ordering handed to an atomic access, or to anything else: `call` is the callee's name, or empty.
    Access { order: Order, call: String, failure: bool },
    /// `fence(order)`; the order is unknown when it is not written out.
    Fence(Option<Order>),
    /// `barrier::light()` or `barrier::heavy()`.
    Barrier(String),
}

/// One ordering, fence or barrier call.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) line: usize,
    pub(crate) action: Action,
    /// The bytes that `weaken` replaces: the whole path of the ordering, or the whole call.
    pub(crate) span: Range<usize>,
    /// Does something take the value of the call?
    pub(crate) used: bool,
    /// What the comments at the site say.
    pub(crate) remarks: Remarks,
}

impl Site {
    /// Is this a plain `Relaxed`, which orders nothing?
    pub(crate) fn is_relaxed(&self) -> bool {
        matches!(self.action, Action::Access { order: Order::Relaxed, .. } | Action::Fence(Some(Order::Relaxed)))
    }

    /// Can this site be the store side of an edge?
    pub(crate) fn stores(&self) -> bool {
        match &self.action {
            Action::Access { order, call, failure } => {
                matches!(order, Order::Release | Order::AcqRel | Order::SeqCst) && call != "load" && !failure
            }
            Action::Fence(order) => !matches!(order, Some(Order::Acquire | Order::Relaxed)),
            Action::Barrier(_) => true,
        }
    }

    /// Can this site be the load side of an edge?
    pub(crate) fn loads(&self) -> bool {
        match &self.action {
            Action::Access { order, call, .. } => {
                matches!(order, Order::Acquire | Order::AcqRel | Order::SeqCst) && call != "store"
            }
            Action::Fence(order) => !matches!(order, Some(Order::Release | Order::Relaxed)),
            Action::Barrier(_) => true,
        }
    }

    /// The site in a few words, such as `compare_exchange(Acquire)`.
    pub(crate) fn what(&self) -> String {
        match &self.action {
            Action::Access { order, call, failure: true } => format!("{call}(failure {order:?})"),
            Action::Access { order, call, .. } if call.is_empty() => format!("{order:?}"),
            Action::Access { order, call, .. } => format!("{call}({order:?})"),
            Action::Fence(Some(order)) => format!("fence({order:?})"),
            Action::Fence(None) => "fence(..)".to_owned(),
            Action::Barrier(name) => format!("barrier::{name}()"),
        }
    }

    /// What `weaken` writes in place of `span`: a full path, so that nothing must be imported for it; in place of a call
    /// whose value is used, such as `if !barrier::heavy()`, the claim that it worked.
    pub(crate) fn weaker(&self) -> &'static str {
        match self.action {
            Action::Access { .. } => "::core::sync::atomic::Ordering::Relaxed",
            Action::Fence(_) | Action::Barrier(_) if self.used => "true",
            Action::Fence(_) | Action::Barrier(_) => "()",
        }
    }
}

/// All sites of `source` in their order, without those in `use` items and in `#[cfg(test)]` modules.
pub(crate) fn find(source: &Source) -> Vec<Site> {
    let imported = imported_orders(source);
    let mut sites = Vec::new();
    let mut i = 0;
    while i < source.tokens.len() {
        if let Some(end) = import_end(source, i) {
            i = end;
        } else if let Some((_, end)) = test_module(source, i) {
            i = end;
        } else if let Some((action, end)) = call(source, i) {
            sites.push(site(source, i, end, action));
            i = end;
        } else {
            if let Some(action) = ordering(source, i, &imported) {
                sites.push(site(source, i, i, action));
            }
            i += 1;
        }
    }
    sites
}

/// The names of the modules that `source` declares under `#[cfg(test)]` and keeps in a file of their own.
pub(crate) fn test_module_files(source: &Source) -> Vec<String> {
    (0..source.tokens.len())
        .filter_map(|i| test_module(source, i))
        .filter(|&(_, end)| source.before(end, 1) == ";")
        .map(|(name, _)| source.word(name).to_owned())
        .collect()
}

fn site(source: &Source, first: usize, last: usize, action: Action) -> Site {
    let path = path_start(source, first);
    let start = source.tokens[path].start;
    let opens = matches!(source.before(path, 1), ";" | "{" | "}" | "]" | "=>");
    let used = !(opens && matches!(source.word(last + 1), ";" | "}" | ","));
    let line = source.tokens[first].line;
    let relaxed = matches!(action, Action::Access { order: Order::Relaxed, .. });
    let wanted = if relaxed { Wanted::EdgeOrReason } else { Wanted::Edge };
    let remarks = Remarks::beside(source, line, statement_line(source, first), wanted);
    Site { line, action, span: start..source.tokens[last].end, used, remarks }
}

/// `fence(…)`, `barrier::light()` or `barrier::heavy()` at token `i`: what it is, and the index of its last token.
fn call(source: &Source, i: usize) -> Option<(Action, usize)> {
    let barrier =
        matches!(source.word(i), "light" | "heavy") && source.before(i, 1) == "::" && source.before(i, 2) == "barrier";
    let fence = matches!(source.word(i), "fence" | "compiler_fence") && !matches!(source.before(i, 1), "fn" | ".");
    if !(barrier || fence) || source.word(i + 1) != "(" {
        return None;
    }
    let close = source.closer(i + 1)?;
    if barrier {
        return Some((Action::Barrier(source.word(i).to_owned()), close));
    }
    let order = (i + 2..close).find_map(|at| Order::named(source.word(at)));
    Some((Action::Fence(order), close))
}

/// The ordering at token `i`, if the word there means one.
fn ordering(source: &Source, i: usize, imported: &HashSet<String>) -> Option<Action> {
    let order = Order::named(source.word(i))?;
    let argument = matches!(source.before(i, 1), "(" | ",") && matches!(source.word(i + 1), ")" | ",");
    let meant = match source.before(i, 1) {
        "::" => source.before(i, 2) == "Ordering",
        "." | "struct" | "enum" | "fn" | "mod" => false,
        _ => argument || imported.contains(source.word(i)),
    };
    if !meant {
        return None;
    }
    let open = source.tokens[i].parent;
    let call = open
        .filter(|&open| source.word(open) == "(" && open > 0 && source.tokens[open - 1].kind == Kind::Word)
        .map_or(String::new(), |open| source.word(open - 1).to_owned());
    let first = open.is_some_and(|open| path_start(source, i) == open + 1);
    let last = source.word(i + 1) == ")" || (source.word(i + 1) == "," && source.word(i + 2) == ")");
    let failure = match call.as_str() {
        "compare_exchange" | "compare_exchange_weak" => last,
        "fetch_update" | "try_update" | "update" => !first,
        _ => false,
    };
    Some(Action::Access { order, call, failure })
}

/// The first token of the path that ends at token `i`: that of `atomic` in `atomic::Ordering::Acquire`.
fn path_start(source: &Source, mut i: usize) -> usize {
    while i >= 1 && source.word(i - 1) == "::" {
        let qualified = i >= 2 && source.tokens[i - 2].kind == Kind::Word;
        i -= if qualified { 2 } else { 1 };
    }
    i
}

/// If a `use` item starts at token `i`: the index after its semicolon.
fn import_end(source: &Source, i: usize) -> Option<usize> {
    // `use<'a>` in a bound is not an import.
    if source.word(i) != "use" || source.word(i + 1) == "<" {
        return None;
    }
    (i..source.tokens.len()).find(|&at| source.word(at) == ";").map(|at| at + 1)
}

/// The orderings that the file imports by name (or all of them, by `Ordering::*`).
fn imported_orders(source: &Source) -> HashSet<String> {
    let mut names = HashSet::new();
    for i in 0..source.tokens.len() {
        let Some(end) = import_end(source, i) else { continue };
        let words: Vec<&str> = (i..end).map(|at| source.word(at)).collect();
        if !words.contains(&"Ordering") {
            continue;
        }
        let glob = words.windows(3).any(|w| w == ["Ordering", "::", "*"]);
        let all = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];
        names.extend(all.iter().filter(|name| glob || words.contains(name)).map(|name| (*name).to_owned()));
    }
    names
}

/// If `#[cfg(…test…)] mod name` starts at token `i`: the index of the name, and the index after the module.
fn test_module(source: &Source, i: usize) -> Option<(usize, usize)> {
    if source.word(i) != "#" || source.word(i + 1) != "[" || source.word(i + 2) != "cfg" {
        return None;
    }
    let close = source.closer(i + 1)?;
    let mut gated = false;
    for at in i + 3..close {
        gated |= source.word(at) == "test" && source.before(at, 2) != "not";
    }
    let mut at = close + 1;
    while source.word(at) == "#" && source.word(at + 1) == "[" {
        at = source.closer(at + 1)? + 1;
    }
    if source.word(at) == "pub" {
        at += 1;
        if source.word(at) == "(" {
            at = source.closer(at)? + 1;
        }
    }
    if !gated || source.word(at) != "mod" {
        return None;
    }
    let body = at + 2;
    let end = if source.word(body) == "{" { source.closer(body)? + 1 } else { body + 1 };
    Some((at + 1, end))
}

/// The line on which the statement around token `i` starts: after the `;`, `{`, `,` of a braced list, or block before it.
fn statement_line(source: &Source, i: usize) -> usize {
    // Out of every `(` and `[`: they are parts of the statement.
    let mut at = i;
    let mut parent = source.tokens[at].parent;
    while let Some(open) = parent.filter(|&open| source.word(open) != "{") {
        at = open;
        parent = source.tokens[at].parent;
    }
    while at > 0 {
        let previous = &source.tokens[at - 1];
        if previous.parent == parent {
            let separator = matches!(source.word(at - 1), ";" | ",");
            let block = source.word(at - 1) == "}" && !continues_after_block(source.word(at));
            if separator || block {
                break;
            }
        } else if Some(at - 1) == parent {
            break;
        }
        at -= 1;
    }
    source.tokens[at].line
}

/// Does a statement go on when `next` follows a closing brace?
fn continues_after_block(next: &str) -> bool {
    matches!(next, "." | "?" | "else" | "=" | "<" | ">" | "+" | "/" | "%" | "^" | "as" | "in" | ";" | "=>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        find(&Source::new(text.to_owned())).iter().map(|site| format!("{} {}", site.line, site.what())).collect()
    }

    #[test]
    fn finds_accesses_fences_and_barriers() {
        let text = "use crate::atomic::{fence, Ordering, Ordering::{Acquire, Release}};
            fn f() {
                a.store(1, Release);
                b.load(atomic::Ordering::Acquire);
                c.compare_exchange(0, 1, AcqRel, Acquire,);
                d.fetch_update(Release, Relaxed, |x| Some(x));
                fence(SeqCst);
                barrier::light();
                crate::barrier::heavy()?;
            }";
        assert_eq!(
            found(text),
            [
                "3 store(Release)",
                "4 load(Acquire)",
                "5 compare_exchange(AcqRel)",
                "5 compare_exchange(failure Acquire)",
                "6 fetch_update(Release)",
                "6 fetch_update(failure Relaxed)",
                "7 fence(SeqCst)",
                "8 barrier::light()",
                "9 barrier::heavy()",
            ]
        );
    }

    #[test]
    fn finds_imported_orderings_outside_calls() {
        let text = "use Ordering::{Acquire}; const O: Ordering = Acquire; let o = if x { Ordering::Release } else { Acquire };";
        assert_eq!(found(text), ["1 Acquire", "1 Release", "1 Acquire"]);
    }

    #[test]
    fn leaves_out_imports_other_paths_tests_and_declarations() {
        let text = "
            use core::sync::atomic::Ordering::Acquire;
            enum Step { Release, Relaxed { x: u8 } }
            fn g() { h(Step::Release, \"Acquire\"); fence_post(1); }
            pub fn fence(order: Ordering) {}
            fn light() { self.light(); lamp::light() }
            #[cfg(all(test, not(loom)))]
            #[allow(x)]
            mod tests { fn t() { a.load(Acquire); } }
            #[cfg(test)]
            pub(crate) mod models;
            #[cfg(not(test))]
            mod kept { fn t() { a.load(Acquire); } }";
        assert_eq!(found(text), ["13 load(Acquire)"]);
        assert_eq!(test_module_files(&Source::new(text.to_owned())), ["models"]);
    }

    #[test]
    fn sides_follow_the_call() {
        let text = "
            a.store(1, SeqCst); a.load(SeqCst); a.swap(1, AcqRel); a.swap(1, Acquire);
            a.compare_exchange(0, 1, SeqCst, SeqCst); fence(Release); fence(Acquire); fence(x); a.load(Relaxed)";
        let sides: Vec<_> =
            find(&Source::new(text.to_owned())).iter().map(|site| (site.stores(), site.loads())).collect();
        let (store, load, both, none) = ((true, false), (false, true), (true, true), (false, false));
        assert_eq!(sides, [store, load, both, load, both, load, store, load, both, none]);
    }

    #[test]
    fn a_span_covers_the_whole_path_or_call() {
        let text = "f(atomic::Ordering::Acquire); crate::barrier::heavy(); core::sync::atomic::fence(\nSeqCst\n);";
        let spans: Vec<_> = find(&Source::new(text.to_owned())).iter().map(|site| &text[site.span.clone()]).collect();
        assert_eq!(
            spans,
            ["atomic::Ordering::Acquire", "crate::barrier::heavy()", "core::sync::atomic::fence(\nSeqCst\n)"]
        );
    }

    #[test]
    fn statements_start_where_the_one_before_ended() {
        let start = |text: &str| {
            let source = Source::new(text.to_owned());
            let at = (0..source.tokens.len()).find(|&i| source.word(i) == "Acquire").unwrap();
            statement_line(&source, at)
        };
        assert_eq!(start("{ a();\nlet x = b(\nc.load(\nAcquire)); }"), 2);
        assert_eq!(start("{ if a { b() }\nc.load(Acquire); }"), 2);
        assert_eq!(start("{\nunsafe { a }\n.load(Acquire); }"), 2);
        assert_eq!(start("match x {\nA => b,\nC =>\nd.load(Acquire) }"), 3);
        assert_eq!(start("{\nx.map(|y| {\ny.load(Acquire) }) }"), 3);
        assert_eq!(start("{\nx.map(|y|\ny.load(Acquire)) }"), 2);
    }
}
