//! `cargo xtask weaken`: takes one ordering, fence or barrier away at a time; the loom suite must notice.
//!
//! The tests that the edge table names as proofs run first, so that most mutants die within seconds; a mutant that lives
//! through them meets the whole suite.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::proofs::{self, Binary, Row};
use crate::remarks::Excuse;
use crate::scratch;
use crate::sites::Site;
use crate::suite::{Build, Executable, Outcome, Suite};
use crate::workspace::{self, HotFile};

/// What to try, and how.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only the mutants of this file, or of this line of it
    #[arg(long, value_name = "FILE[:LINE]")]
    only: Option<String>,
    /// List the mutants and run none
    #[arg(long)]
    list: bool,
    /// Only so many, spread over all of them; which ones changes with the sources, so that in time all have their turn
    #[arg(long, value_name = "NUMBER")]
    sample: Option<usize>,
    /// Stop at the first mutant that is not killed instead of trying the others too
    #[arg(long)]
    fail_fast: bool,
    /// Do not run the suite without a mutant first: `cargo xtask loom`, or `test`, has just passed with these sources
    #[arg(long)]
    passes: bool,
    /// How many seconds a mutant's tests may take; more is a failure
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

/// One ordering to take away.
struct Mutant<'a> {
    file: &'a HotFile,
    site: &'a Site,
}

impl Mutant<'_> {
    fn place(&self) -> String {
        format!("{}:{}", self.file.path, self.site.line)
    }

    /// The file's text with this mutant in it.
    fn text(&self) -> String {
        let (text, span) = (&self.file.text, &self.site.span);
        [&text[..span.start], self.site.weaker(), &text[span.end..]].concat()
    }
}

/// What became of a mutant.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The test that noticed.
    Killed(String),
    /// The code argues that no model can notice.
    Argued(Excuse),
    Survived,
    /// Its file is not part of the suite.
    NotCompiled,
    TimedOut,
    /// The compiler's words: a bug of `weaken`.
    Broken(String),
}

impl Verdict {
    fn good(&self) -> bool {
        matches!(self, Self::Killed(_) | Self::Argued(_))
    }

    fn words(&self) -> String {
        match self {
            Self::Killed(by) => format!("killed by {by}"),
            Self::Argued(Excuse::Equivalent) => "argued: equivalent".to_owned(),
            Self::Argued(Excuse::Unmodelled) => "argued: unmodelled".to_owned(),
            Self::Survived => "SURVIVED: a test is missing, or the ordering is too strong".to_owned(),
            Self::NotCompiled => {
                "NOT COMPILED under loom: model the file, or argue `weaken: unmodelled, because …`".to_owned()
            }
            Self::TimedOut => {
                "TIMEOUT: neither killed nor survived; make the model smaller or raise --timeout".to_owned()
            }
            Self::Broken(_) => "BROKEN: the mutant does not compile, which is a bug of weaken".to_owned(),
        }
    }
}

/// Runs the mutants of the workspace at `root` in a copy below its `target`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let only = options.only.as_deref().map(Only::parse);
    if options.list {
        let files = workspace::hot_files(root)?;
        for mutant in mutants(&files, only.as_ref())? {
            let excuse = mutant.site.remarks.excuse.map_or(String::new(), |excuse| Verdict::Argued(excuse).words());
            println!("{} {} {} {excuse}", mutant.place(), mutant.site.what(), mutant.site.remarks.edges.join(" "));
        }
        return Ok(());
    }

    let folder = root.join("target/weaken");
    let suite = Suite { root: folder.join("src"), target: folder.join("target") };
    scratch::mirror(root, &suite.root)?;
    let files = workspace::hot_files(&suite.root)?;
    let mutants = match options.sample {
        Some(number) => sample(mutants(&files, only.as_ref())?, &files, number),
        None => mutants(&files, only.as_ref())?,
    };
    let page = suite.root.join(proofs::PAGE);
    let rows = if page.exists() {
        proofs::rows(&std::fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?)
    } else {
        Vec::new()
    };
    let functions = proofs::functions(&suite.root)?;

    let limit = Duration::from_secs(options.timeout);
    let executables = build_without_a_mutant(&suite)?;
    if !options.passes {
        baseline(&suite, &executables, limit)?;
    }
    let mut results = Vec::new();
    for (index, mutant) in mutants.iter().enumerate() {
        print!("[{:>3}/{}] {} {} … ", index + 1, mutants.len(), mutant.place(), mutant.site.what());
        std::io::stdout().flush().context("writing to standard output")?;
        let start = Instant::now();
        let proofs = proofs_of(mutant.site, &rows, &functions);
        let verdict = try_mutant(&suite, mutant, &proofs, limit)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{} ({seconds:.1} s)", verdict.words());
        if let Verdict::Broken(error) = &verdict {
            println!("{error}");
        }
        let stop = options.fail_fast && !verdict.good();
        results.push((mutant, verdict, seconds));
        if stop {
            break;
        }
    }
    report(&results, mutants.len())
}

/// Builds the suite as it is: the build also tells which files are part of it.
fn build_without_a_mutant(suite: &Suite) -> Result<Vec<Executable>> {
    match suite.build(&[])? {
        Build::Done(executables) => Ok(executables),
        Build::Broken(error) => bail!("the loom suite does not compile: mend it first\n{error}"),
    }
}

/// Runs the suite as it is: what fails by itself proves nothing about a mutant.
fn baseline(suite: &Suite, executables: &[Executable], limit: Duration) -> Result<()> {
    println!("The suite without a mutant …");
    let (start, mut tests) = (Instant::now(), 0);
    for executable in executables {
        match suite.run(executable, &[], start + limit)? {
            Outcome::Passed(passed) => tests += passed,
            Outcome::Failed(by) => {
                bail!("the loom suite fails without a mutant, at {by}: mend it first (`cargo xtask loom`)")
            }
            Outcome::TimedOut => bail!(
                "the loom suite takes longer than {} s without a mutant: make the models smaller or raise --timeout",
                limit.as_secs()
            ),
        }
    }
    if tests == 0 {
        bail!("the loom suite holds no tests: nothing could kill a mutant");
    }
    println!("… {tests} tests pass in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Every site that orders something, as far as it is wanted.
fn mutants<'a>(files: &'a [HotFile], only: Option<&Only>) -> Result<Vec<Mutant<'a>>> {
    let mutants: Vec<Mutant<'a>> = files
        .iter()
        .flat_map(|file| file.sites.iter().map(move |site| Mutant { file, site }))
        .filter(|mutant| !mutant.site.is_relaxed())
        .filter(|mutant| only.is_none_or(|only| only.matches(&mutant.file.path, mutant.site.line)))
        .collect();
    if mutants.is_empty() {
        bail!(
            "no ordering to weaken: {}",
            if only.is_some() { "none at --only (see --list)" } else { "the hot crates hold none" }
        );
    }
    Ok(mutants)
}

/// About `number` mutants at equal distances. Where they begin is for the text of the sources to say.
fn sample<'a>(mutants: Vec<Mutant<'a>>, files: &[HotFile], number: usize) -> Vec<Mutant<'a>> {
    let mut hasher = DefaultHasher::new();
    files.iter().for_each(|file| file.text.hash(&mut hasher));
    let distance = mutants.len().div_ceil(number.max(1));
    let first = hasher.finish() as usize % distance;
    mutants.into_iter().skip(first).step_by(distance).collect()
}

/// The argument of `--only`.
struct Only {
    file: String,
    line: Option<usize>,
}

impl Only {
    fn parse(argument: &str) -> Self {
        let split = argument.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
        match split {
            Some((file, line)) => Self { file: file.to_owned(), line: Some(line) },
            None => Self { file: argument.to_owned(), line: None },
        }
    }

    fn matches(&self, path: &str, line: usize) -> bool {
        let file = path == self.file || path.ends_with(&format!("/{}", self.file));
        file && self.line.is_none_or(|wanted| wanted == line)
    }
}

/// The tests that should kill a mutant of `site`, by binary.
fn proofs_of(site: &Site, rows: &[Row], functions: &HashMap<String, Vec<Binary>>) -> Vec<(Binary, Vec<String>)> {
    let mut proofs: Vec<(Binary, Vec<String>)> = Vec::new();
    for row in rows.iter().filter(|row| site.remarks.edges.contains(&row.edge)) {
        for name in &row.proofs {
            for binary in functions.get(name).into_iter().flatten() {
                match proofs.iter_mut().find(|(known, _)| known == binary) {
                    Some((_, names)) => names.push(name.clone()),
                    None => proofs.push((binary.clone(), vec![name.clone()])),
                }
            }
        }
    }
    proofs
}

/// Writes one mutant, lets the suite judge it, and writes the file back.
fn try_mutant(
    suite: &Suite,
    mutant: &Mutant<'_>,
    proofs: &[(Binary, Vec<String>)],
    limit: Duration,
) -> Result<Verdict> {
    if let Some(excuse) = mutant.site.remarks.excuse {
        return Ok(Verdict::Argued(excuse));
    }
    if !suite.compiled(&mutant.file.path)? {
        return Ok(Verdict::NotCompiled);
    }
    let path = suite.root.join(&mutant.file.path);
    std::fs::write(&path, mutant.text()).with_context(|| format!("writing {}", path.display()))?;
    let verdict = judge(suite, proofs, limit);
    std::fs::write(&path, &mutant.file.text).with_context(|| format!("writing {}", path.display()))?;
    verdict
}

fn judge(suite: &Suite, proofs: &[(Binary, Vec<String>)], limit: Duration) -> Result<Verdict> {
    let mut left = limit;
    let all = [(None, Vec::new())];
    let first = proofs.iter().map(|(binary, names)| (Some(binary.clone()), names.clone()));
    for (binary, names) in first.chain(all) {
        let choice: Vec<Binary> = binary.into_iter().collect();
        let executables = match suite.build(&choice)? {
            Build::Done(executables) => executables,
            Build::Broken(error) => return Ok(Verdict::Broken(error)),
        };
        for executable in &executables {
            let start = Instant::now();
            match suite.run(executable, &names, start + left)? {
                Outcome::Passed(_) => left = left.saturating_sub(start.elapsed()),
                Outcome::Failed(by) => return Ok(Verdict::Killed(by)),
                Outcome::TimedOut => return Ok(Verdict::TimedOut),
            }
        }
    }
    Ok(Verdict::Survived)
}

/// Prints the table of all verdicts; an error unless each is good.
fn report(results: &[(&Mutant<'_>, Verdict, f64)], wanted: usize) -> Result<()> {
    let width =
        |text: fn(&Mutant<'_>) -> String| results.iter().map(|(mutant, ..)| text(mutant).len()).max().unwrap_or(0);
    let (places, whats) = (width(|mutant| mutant.place()), width(|mutant| mutant.site.what()));
    println!("\n{:<places$}  {:<whats$}  {:>7}  verdict", "place", "without", "seconds");
    for (mutant, verdict, seconds) in results {
        println!("{:<places$}  {:<whats$}  {seconds:>7.1}  {}", mutant.place(), mutant.site.what(), verdict.words());
    }
    let count = |wanted: fn(&Verdict) -> bool| results.iter().filter(|(_, verdict, _)| wanted(verdict)).count();
    let killed = count(|verdict| matches!(verdict, Verdict::Killed(_)));
    let argued = count(|verdict| matches!(verdict, Verdict::Argued(_)));
    let bad = results.len() - killed - argued;
    println!("\n{} of {wanted} mutants: {killed} killed, {argued} argued in the code, {bad} to mend", results.len());
    if bad > 0 {
        bail!("weaken: {bad} mutants were not killed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::Source;
    use crate::sites;

    fn file(code: &str) -> HotFile {
        let source = Source::new(code.to_owned());
        let sites = sites::find(&source);
        HotFile { path: "core/src/spsc.rs".to_owned(), text: source.text, sites }
    }

    #[test]
    fn each_mutant_takes_one_ordering_away() {
        let files = [file(
            "a.load(Relaxed); b.store(1, Ordering::Release); barrier::light();\nc.compare_exchange(0, 1, AcqRel, Acquire);",
        )];
        let texts: Vec<_> = mutants(&files, None).unwrap().iter().map(Mutant::text).collect();
        let weak = "::core::sync::atomic::Ordering::Relaxed";
        assert_eq!(
            texts,
            [
                files[0].text.replace("Ordering::Release", weak),
                files[0].text.replace("barrier::light()", "()"),
                files[0].text.replace("AcqRel", weak),
                files[0].text.replace("Acquire", weak),
            ]
        );
    }

    #[test]
    fn a_barrier_whose_value_is_used_claims_to_have_worked() {
        let files =
            [file("fn f() { if !barrier::heavy() { #[cfg(loom)] fence(SeqCst); } match a { B => fence(SeqCst), } }")];
        let texts: Vec<_> = mutants(&files, None).unwrap().iter().map(Mutant::text).collect();
        assert!(
            texts[0].contains("if !true {") && texts[1].contains("#[cfg(loom)] ();") && texts[2].contains("B => (),")
        );
    }

    #[test]
    fn only_selects_files_and_lines() {
        let files = [file("a.load(Acquire);\nb.load(Acquire);")];
        let count = |argument: &str| mutants(&files, Some(&Only::parse(argument))).map_or(0, |mutants| mutants.len());
        assert_eq!(count("spsc.rs"), 2);
        assert_eq!(count("core/src/spsc.rs:2"), 1);
        assert_eq!(count("spsc.rs:3"), 0);
        assert_eq!(count("psc.rs"), 0);
    }

    #[test]
    fn the_proofs_of_an_edge_are_found_by_its_row() {
        let files = [file("// CLAIM: slots\na.load(Acquire);")];
        let row = |edge: &str, proof: &str| Row { line: 1, edge: edge.to_owned(), proofs: vec![proof.to_owned()] };
        let rows = [row("CLAIM", "claims"), row("PUBLISH", "publishes"), row("CLAIM", "gone")];
        let binary = Binary::Test("spsc".to_owned());
        let functions = ["claims", "publishes"].map(|name| (name.to_owned(), vec![binary.clone()])).into();
        assert_eq!(proofs_of(&files[0].sites[0], &rows, &functions), [(binary, vec!["claims".to_owned()])]);
    }
}
