//! A copy of the workspace in which `weaken` may write, kept between runs so that only what changed is compiled again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Makes `copy` hold what git knows of the workspace at `root`, and the new files that it does not ignore; nothing else.
/// A file that is already alike is not touched: cargo goes by the time of its last write.
pub(crate) fn mirror(root: &Path, copy: &Path) -> Result<()> {
    let files = listed(root)?;
    for file in &files {
        let from = root.join(file);
        // Deleted, but not yet committed; or a folder that git treats as one entry.
        if !from.is_file() {
            continue;
        }
        let new = std::fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
        write_if_changed(&copy.join(file), &new)?;
    }
    let wanted: HashSet<PathBuf> =
        files.iter().filter(|file| root.join(file).is_file()).map(|file| copy.join(file)).collect();
    remove_others(copy, &wanted)
}

/// The files of the workspace at `root`, by their paths from there.
fn listed(root: &Path) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = git.output().context("starting git (it lists the files to copy): install it")?;
    if !output.status.success() {
        bail!("git ls-files failed in {}: {}", root.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    Ok(text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

/// Writes `new` to `path`, with the folders above it, unless it holds just that.
pub(crate) fn write_if_changed(path: &Path, new: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    std::fs::write(path, new).with_context(|| format!("writing {}", path.display()))
}

fn remove_others(folder: &Path, wanted: &HashSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_follows_changes_and_deletions_and_leaves_the_rest_alone() {
        let base = std::env::temp_dir().join(format!("xtask-mirror-{}", std::process::id()));
        let (root, copy) = (base.join("root"), base.join("copy"));
        std::fs::create_dir_all(root.join("src")).unwrap();
        let git = Command::new("git").args(["init", "--quiet"]).current_dir(&root).status().unwrap();
        assert!(git.success());
        for (name, text) in [(".gitignore", "ignored"), ("src/a.rs", "a"), ("b.rs", "b"), ("ignored", "x")] {
            std::fs::write(root.join(name), text).unwrap();
        }
        mirror(&root, &copy).unwrap();
        assert_eq!(std::fs::read_to_string(copy.join("src/a.rs")).unwrap(), "a");
        assert!(!copy.join("ignored").exists());

        let written = copy.join("src/a.rs").metadata().unwrap().modified().unwrap();
        std::fs::write(copy.join("b.rs"), "mutant").unwrap();
        mirror(&root, &copy).unwrap();
        assert_eq!(std::fs::read_to_string(copy.join("b.rs")).unwrap(), "b");
        assert_eq!(copy.join("src/a.rs").metadata().unwrap().modified().unwrap(), written);

        std::fs::remove_file(root.join("b.rs")).unwrap();
        mirror(&root, &copy).unwrap();
        assert!(!copy.join("b.rs").exists());
        std::fs::remove_dir_all(base).unwrap();
    }
}
