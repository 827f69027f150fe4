//! What a test run left in shared memory, or with the kernel.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Where named shared memory lives on Linux.
const SHM: &str = "/dev/shm";

/// Where the kernel lists the System V semaphore sets.
const SETS: &str = "/proc/sysvipc/sem";

/// The project's names in /dev/shm, and the semaphore sets of its tests. A machine without the folder or the list has none.
pub(crate) fn listed() -> Result<BTreeSet<String>> {
    let mut names = named_ours(Path::new(SHM))?;
    names.extend(sets_of_ours(&std::fs::read_to_string(SETS).unwrap_or_default()));
    Ok(names)
}

/// The sets whose keys begin with 0x52 (R), as those of the tests do.
fn sets_of_ours(list: &str) -> impl Iterator<Item = String> {
    let keys = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse::<i32>().ok());
    keys.filter(|key| key >> 24 == 0x52).map(|key| format!("semaphore set {key:#x} (ipcrm -S {key:#x})"))
}

/// An error if there are names that were not there `before`.
pub(crate) fn compare(before: &BTreeSet<String>) -> Result<()> {
    let left: Vec<String> = listed()?.difference(before).cloned().collect();
    if !left.is_empty() {
        bail!(
            "the tests left something in {SHM} or {SETS}: {} (remove it, and mend the test that made it)",
            left.join(", ")
        );
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
        // `sem.`: what the C library puts before the names of semaphores.
        if name.trim_start_matches("sem").trim_start_matches('.').starts_with("ringshm") {
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
        for name in ["ringshm-a", ".ringshm.b", "sem.ringshm-c", "other-ringshm"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let names = named_ours(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names.unwrap().into_iter().collect::<Vec<_>>(), [".ringshm.b", "ringshm-a", "sem.ringshm-c"]);
    }

    #[test]
    fn only_semaphore_sets_of_the_tests_are_listed() {
        let list =
            "       key      semid perms      nsems   uid\n1375731969 3 600 1 0\n0 4 600 1 0\n-1375731969 5 600 1 0\n";
        assert_eq!(sets_of_ours(list).collect::<Vec<_>>(), ["semaphore set 0x52000101 (ipcrm -S 0x52000101)"]);
    }
}
