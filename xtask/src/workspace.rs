//! Where the workspace is, which of its files are hot, and how its commands are run.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::lexer::Source;
use crate::sites::{self, Site};

/// The crates whose orderings are argued one by one.
const HOT: [&str; 2] = ["ringshm-sync/src", "ringshm-core/src"];

/// The two faces of the shim: they forward orderings and choose none.
const FORWARDING: [&str; 2] = ["ringshm-sync/src/real", "ringshm-sync/src/model"];

/// The folder of the workspace's Cargo.toml.
pub(crate) fn root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = here.parent().context("xtask has no parent folder")?;
    if !root.join("Cargo.toml").exists() {
        bail!("{} holds no workspace: run this program as `cargo xtask`", root.display());
    }
    Ok(root.to_owned())
}

/// A hot file and the sites in it.
pub(crate) struct HotFile {
    /// The path from the workspace's root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) sites: Vec<Site>,
}

/// Every hot file of the workspace at `root`, in the order of their paths, without files of `#[cfg(test)]` modules.
pub(crate) fn hot_files(root: &Path) -> Result<Vec<HotFile>> {
    let mut files = Vec::new();
    let mut tests = HashSet::new();
    for folder in HOT {
        for path in rust_files(&root.join(folder), true)? {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            if FORWARDING.iter().any(|face| name == format!("{face}.rs") || name.starts_with(&format!("{face}/"))) {
                continue;
            }
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
            let source = Source::new(text);
            for module in sites::test_module_files(&source) {
                let home = module_folder(&name);
                tests.insert(format!("{home}/{module}.rs"));
                tests.insert(format!("{home}/{module}/mod.rs"));
            }
            let sites = sites::find(&source);
            files.push(HotFile { path: name, text: source.text, sites });
        }
    }
    files.retain(|file| !tests.contains(&file.path));
    Ok(files)
}

/// The folder in which the file at `path` keeps its modules.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or((".", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    }
}

/// The `.rs` files of `folder`, sorted, with those of its subfolders if `deep`. A missing folder has none.
pub(crate) fn rust_files(folder: &Path, deep: bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
        if path.is_dir() && deep {
            files.extend(rust_files(&path, deep)?);
        } else if path.extension() == Some(OsStr::new("rs")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `cargo` in the folder `root`: the one that runs this program.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The RUSTFLAGS of the environment with `more` behind them.
pub(crate) fn rustflags(more: &str) -> String {
    match std::env::var("RUSTFLAGS") {
        Ok(flags) if !flags.trim().is_empty() => format!("{flags} {more}"),
        _ => more.to_owned(),
    }
}

/// Runs `command` to its end, printing it first; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    eprintln!("+ {line}");
    let status = command.status().with_context(|| format!("starting `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// The command as one would type it, with the variables that were set for it.
fn shown(command: &Command) -> String {
    let mut words: Vec<String> = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={:?}", name.to_string_lossy(), value));
        }
    }
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    words.push(program.to_string_lossy().into_owned());
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_live_beside_or_below_their_parent() {
        assert_eq!(module_folder("a/src/lib.rs"), "a/src");
        assert_eq!(module_folder("a/src/os/mod.rs"), "a/src/os");
        assert_eq!(module_folder("a/src/spsc.rs"), "a/src/spsc");
    }

    #[test]
    fn hot_files_leave_out_the_shim_and_test_modules() {
        let root = std::env::temp_dir().join(format!("xtask-hot-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("ringshm-sync/src/lib.rs", "#[cfg(test)] mod cases;");
        write("ringshm-sync/src/cases.rs", "");
        write("ringshm-sync/src/real/mod.rs", "");
        write("ringshm-sync/src/model.rs", "");
        write("ringshm-sync/src/realm.rs", "fn f() { a.load(Acquire) }");
        write("ringshm-core/src/os/map.rs", "");
        let files = hot_files(&root);
        std::fs::remove_dir_all(&root).unwrap();
        let files = files.unwrap();
        let names: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.sites.len())).collect();
        assert_eq!(
            names,
            [("ringshm-sync/src/lib.rs", 0), ("ringshm-sync/src/realm.rs", 1), ("ringshm-core/src/os/map.rs", 0)]
        );
    }
}
