//! What a test run left in shared memory.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Where named shared memory lives on Linux.
const SHM: &str = "/dev/shm";

/// The project's names in /dev/shm. A machine without the folder has none.
pub(crate) fn listed() -> Result<BTreeSet<String>> {
    named_ours(Path::new(SHM))
}

/// An error if there are names that were not there `before`.
pub(crate) fn compare(before: &BTreeSet<String>) -> Result<()> {
    let left: Vec<String> = listed()?.difference(before).cloned().collect();
    if !left.is_empty() {
        bail!("the tests left something in {SHM}: {} (remove it, and mend the test that made it)", left.join(", "));
    }
    Ok(())
}

fn named_ours(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    if !folder.exists() {
        return Ok(names);
    }
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let name = entry.with_context(|| format!("listing {}", folder.display()))?.file_name();
        let name = name.to_string_lossy();
        if name.trim_start_matches('.').starts_with("ringshm") {
            names.insert(name.into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_project_are_listed() {
        let folder = std::env::temp_dir().join(format!("xtask-leftovers-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        for name in ["ringshm-a", ".ringshm.b", "other-ringshm"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let names = named_ours(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names.unwrap().into_iter().collect::<Vec<_>>(), [".ringshm.b", "ringshm-a"]);
    }
}
