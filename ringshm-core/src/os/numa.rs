//! Which node of the machine a ring's memory comes from.
//!
//! The policy is the object's own (`mbind` on a shared mapping of a tmpfs, a memfd or a System V segment), so it holds for whoever touches a page first, in any process; and it
//! is set before the object has any page, because it moves none.
//!
//! # Safety
//! `mbind` is given a mapping that is there, and a mask that is as long as it says.

#![allow(unsafe_code, reason = "mbind, which neither rustix nor the C library offers")]

use super::mapping::Mapping;
use crate::error::OpenError;
use std::fs;
use std::io;

/// As many nodes as any kernel has.
const MOST_NODES: usize = 1024;
const BITS: usize = libc::c_ulong::BITS as usize;

/// Lets the memory of a new object, which has no page yet, come from `node`. `mapping` is all of it.
pub(super) fn bind(mapping: &Mapping, node: u32) -> Result<(), OpenError> {
    let mut mask = [0 as libc::c_ulong; MOST_NODES / BITS];
    let word = mask.get_mut(node as usize / BITS).ok_or_else(|| not_there(node))?;
    *word = 1 << (node as usize % BITS);
    let mode = libc::MPOL_BIND as libc::c_ulong;
    let (start, len) = mapping.pages();
    // SAFETY: the whole of a mapping; and the kernel reads one bit less than the number it is given, all of the mask.
    let result = unsafe { libc::syscall(libc::SYS_mbind, start, len, mode, mask.as_ptr(), MOST_NODES + 1, 0_usize) };
    if result == 0 {
        return Ok(());
    }
    let source = io::Error::last_os_error();
    match source.raw_os_error() {
        // A kernel that knows no nodes has one.
        Some(libc::ENOSYS) if node == 0 => Ok(()),
        Some(libc::EINVAL | libc::ENOSYS) => Err(not_there(node)),
        _ => {
            let step = "placing the ring on a NUMA node (mbind: containers need CAP_SYS_NICE, or a seccomp profile that allows it)";
            Err(OpenError::Os { step, source })
        }
    }
}

fn not_there(node: u32) -> OpenError {
    let nodes = fs::read_to_string("/sys/devices/system/node/has_memory").unwrap_or_else(|_| "0".to_owned());
    let reason = format!("node {node} has no memory that this process may use; those with memory: {}", nodes.trim());
    OpenError::InvalidOption { option: "numa_node", reason }
}

/// Bytes that a node can give away: what is free, and what only caches files. Where memory is bound to a node that has none, the kernel would not
/// refuse, but kill somebody.
pub(super) fn free(node: u32) -> u64 {
    let table = fs::read_to_string(format!("/sys/devices/system/node/node{node}/meminfo")).unwrap_or_default();
    sum_of(&table, &["MemFree:", "Active(file):", "Inactive(file):"]).unwrap_or(u64::MAX)
}

/// The sum of these lines, which all begin with the name of the node; `None` if one of them is missing.
fn sum_of(table: &str, fields: &[&str]) -> Option<u64> {
    let bytes_of = |field: &&str| -> Option<u64> {
        let number =
            table.lines().find_map(|line| line.split_once(*field).filter(|(node, _)| node.starts_with("Node")))?.1;
        number.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    fields.iter().map(bytes_of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_can_give_away_is_free_or_caches_files() {
        let table = "Node 1 MemTotal:  900 kB\nNode 1 MemFree:  100 kB\nNode 1 Active(anon): 7 kB\nNode 1 Inactive(anon): 7 kB\n\
                     Node 1 Active(file):  20 kB\nNode 1 Inactive(file):  3 kB\n";
        assert_eq!(sum_of(table, &["MemFree:", "Active(file):", "Inactive(file):"]), Some(123 * 1024));
        assert_eq!(sum_of(table, &["MemFree:", "Shmem:"]), None);
    }
}
