//! What a test run left in shared memory, or with the kernel.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Where named shared memory lives on Linux.
const SHM: &str = "/dev/shm";

/// Where POSIX message queues are listed, if anybody has mounted them.
const QUEUES: &str = "/dev/mqueue";

/// Where the kernel lists the System V objects, what they are, and how they are removed.
const SYSTEM_V: [(&str, &str, &str); 3] = [
    ("/proc/sysvipc/sem", "semaphore set", "-S"),
    ("/proc/sysvipc/msg", "message queue", "-Q"),
    ("/proc/sysvipc/shm", "shared memory", "-M"),
];

/// The project's names in /dev/shm, and the folders (where temporary files are), queues and System V objects of its tests. A machine without the folder
/// or the list has none.
pub(crate) fn listed() -> Result<BTreeSet<String>> {
    let mut names = named_ours(Path::new(SHM))?;
    names.extend(named_ours(Path::new(QUEUES))?);
    let folders = named_ours(&std::env::temp_dir())?.into_iter();
    names.extend(folders.filter(|name| name.starts_with("ringshm-test-")));
    for (list, kind, option) in SYSTEM_V {
        names.extend(keys_of_ours(&std::fs::read_to_string(list).unwrap_or_default(), kind, option));
    }
    Ok(names)
}

/// The objects whose keys begin with 0x52 (R), as those of the tests do.
fn keys_of_ours(list: &str, kind: &str, option: &str) -> impl Iterator<Item = String> {
    let keys = list.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse::<i32>().ok());
    keys.filter(|key| key >> 24 == 0x52).map(move |key| format!("{kind} {key:#x} (ipcrm {option} {key:#x})"))
}

/// An error if there are names that were not there `before`.
pub(crate) fn compare(before: &BTreeSet<String>) -> Result<()> {
    let left: Vec<String> = listed()?.difference(before).cloned().collect();
    if !left.is_empty() {
        bail!(
            "the tests left something in {SHM}, among the temporary files or with the kernel: {} (remove it, and mend the test that made it)",
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
    fn only_keys_of_the_tests_are_listed() {
        let list =
            "       key      semid perms      nsems   uid\n1375731969 3 600 1 0\n0 4 600 1 0\n-1375731969 5 600 1 0\n";
        assert_eq!(
            keys_of_ours(list, "semaphore set", "-S").collect::<Vec<_>>(),
            ["semaphore set 0x52000101 (ipcrm -S 0x52000101)"]
        );
    }
}
