//! How much of its own mechanisms the kernel lets a user have: each limit in terms of the channels that meet it, and how to raise it.

use super::Check;
use super::rings::DEFAULT_RING;
use crate::size;
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};

/// A number that the kernel shows in a file.
fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// More than this is no limit.
const MOST: u64 = 1 << 50;

fn bytes(number: Option<u64>) -> String {
    match number {
        Some(MOST..) => "any size".to_owned(),
        Some(number) => size::bytes(number),
        None => "an unknown size".to_owned(),
    }
}

fn count(number: Option<u64>) -> String {
    match number {
        Some(MOST..) => "any number".to_owned(),
        Some(number) => size::grouped(number),
        None => "an unknown number".to_owned(),
    }
}

/// What this process may have of something.
fn limit(resource: Resource) -> u64 {
    getrlimit(resource).current.unwrap_or(u64::MAX)
}

/// How many objects a list in /proc/sysvipc has: a line for each, below a heading.
fn in_use(list: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/sysvipc/{list}")).ok()?;
    Some(text.lines().count().saturating_sub(1) as u64)
}

/// That objects are used up that `ipcs` lists by this letter, or are not.
fn of_objects(name: &'static str, found: String, (used, most): (Option<u64>, u64), letter: char, next: &str) -> Check {
    let found = format!("{found}; {} of {} are in use", count(used), count(Some(most)));
    if used.is_some_and(|used| used >= most) {
        Check::warn(name, found, format!("remove what nobody uses (ipcs -{letter}, ipcrm -{letter} ID), or {next}"))
    } else {
        Check::ok(name, found).with_more(next)
    }
}

fn missing(name: &'static str, schemes: &str, option: &str) -> Check {
    let next = format!("use a kernel with {option}, or another mechanism");
    Check::warn(name, format!("this kernel has none: no {schemes}"), next)
}

/// With fewer, a program with some channels soon has none left.
const FEW_DESCRIPTORS: u64 = 128;

pub(super) fn descriptors() -> Check {
    const NAME: &str = "descriptors";
    let most = limit(Resource::Nofile);
    let found = format!(
        "{} in a process (RLIMIT_NOFILE); a side of a channel takes one or two, a stream's receiver one more for each sender",
        count(Some(most))
    );
    let next = match getrlimit(Resource::Nofile).maximum {
        Some(maximum) if maximum <= most => "more: LimitNOFILE= of a systemd service, docker run --ulimit nofile=N",
        _ => "more: ulimit -n N, up to ulimit -Hn",
    };
    if most < FEW_DESCRIPTORS { Check::warn(NAME, found, next) } else { Check::ok(NAME, found).with_more(next) }
}

/// What the kernel gives a pipe, and what it gives one of a user who has too much already.
const PIPE: u64 = 64 << 10;
const SMALL_PIPE: u64 = 8 << 10;

pub(super) fn pipes() -> Check {
    let pages = number("/proc/sys/fs/pipe-user-pages-soft");
    let together = match pages.map(|pages| pages.saturating_mul(page_size() as u64)) {
        Some(0) => "all of a user's together are not limited".to_owned(),
        soft => format!("all of a user's together {}, then {} each", bytes(soft), size::bytes(SMALL_PIPE)),
    };
    let largest = bytes(number("/proc/sys/fs/pipe-max-size"));
    let found = format!(
        "pipe: and fifo: hold {}, up to {largest} if asked (pipe-max-size); {together} (pipe-user-pages-soft)",
        size::bytes(PIPE)
    );
    Check::ok("pipes", found).with_more("more: sysctl fs.pipe-max-size=BYTES fs.pipe-user-pages-soft=PAGES")
}

/// What the kernel counts for each message that a queue may hold, beside its bytes: see getrlimit(2).
const OF_A_MESSAGE: u64 = 48 + 48;

pub(super) fn posix_queues() -> Check {
    const NAME: &str = "POSIX queues";
    let of = |file: &str| number(&format!("/proc/sys/fs/mqueue/{file}"));
    let (Some(most), Some(longest)) = (of("msg_max"), of("msgsize_max")) else {
        return missing(NAME, "mq:", "CONFIG_POSIX_MQUEUE");
    };
    let messages = of("msg_default").map_or(most, |usual| usual.min(most));
    let size = of("msgsize_default").map_or(longest, |usual| usual.min(longest));
    let memory = limit(Resource::Msgqueue);
    let room = memory / (messages * (size + OF_A_MESSAGE)).max(1);
    let found = format!(
        "mq: holds {messages} messages of {}, up to {most} of {} if asked (msg_max, msgsize_max); a user has {} such queues \
         (RLIMIT_MSGQUEUE: {}), all users {} (queues_max)",
        size::bytes(size),
        size::bytes(longest),
        count(Some(room)),
        bytes(Some(memory)),
        count(of("queues_max")),
    );
    let next = "more: sysctl fs.mqueue.msg_max=N fs.mqueue.msgsize_max=BYTES fs.mqueue.queues_max=N; ulimit -q BYTES, \
                LimitMSGQUEUE= of a systemd service, docker run --ulimit msgqueue=BYTES";
    if room == 0 {
        Check::warn(NAME, format!("{found}: no mq: can be made but a smaller one"), next)
    } else {
        Check::ok(NAME, found).with_more(next)
    }
}

pub(super) fn system_v_queues() -> Check {
    const NAME: &str = "System V queues";
    let of = |file: &str| number(&format!("/proc/sys/kernel/{file}"));
    let (Some(longest), Some(whole), Some(most)) = (of("msgmax"), of("msgmnb"), of("msgmni")) else {
        return missing(NAME, "sysv:", "CONFIG_SYSVIPC");
    };
    let (longest, whole) = (size::bytes(longest.min(whole)), size::bytes(whole));
    let found =
        format!("sysv: holds {whole} (msgmnb), in messages of up to {longest} (msgmax); of its queues (msgmni)");
    let next =
        "more: sysctl kernel.msgmax=BYTES kernel.msgmnb=BYTES kernel.msgmni=N, for queues that are made from then on";
    of_objects(NAME, found, (in_use("msg"), most), 'q', next)
}

pub(super) fn system_v_memory() -> Check {
    const NAME: &str = "System V memory";
    let of = |file: &str| number(&format!("/proc/sys/kernel/{file}"));
    let (Some(largest), Some(pages), Some(most)) = (of("shmmax"), of("shmall"), of("shmmni")) else {
        return missing(NAME, "sysv-shm:", "CONFIG_SYSVIPC");
    };
    let together = pages.saturating_mul(page_size() as u64);
    let (one, all) = (bytes(Some(largest)), bytes(Some(together)));
    let found =
        format!("a sysv-shm: has {one} at most (shmmax), all together {all} (shmall); of their segments (shmmni)");
    let next = "more: sysctl kernel.shmmax=BYTES kernel.shmall=PAGES kernel.shmmni=N";
    if largest.min(together) < DEFAULT_RING {
        return Check::warn(NAME, format!("{found}: too little for a ring of the default size"), next);
    }
    of_objects(NAME, found, (in_use("shm"), most), 'm', next)
}

pub(super) fn system_v_semaphores() -> Check {
    const NAME: &str = "System V sems";
    let text = std::fs::read_to_string("/proc/sys/kernel/sem").unwrap_or_default();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // What a set has at most, what all have, what a call does, how many sets there are.
    let [_, _, _, sets] = numbers[..] else {
        return missing(NAME, "sysv: and sysv-shm:, which tell by them who lives", "CONFIG_SYSVIPC");
    };
    let found = "who lives at a sysv: or a sysv-shm: is told by a set each; of all sets (SEMMNI)".to_owned();
    let next = "more: sysctl kernel.sem=\"SEMMSL SEMMNS SEMOPM SEMMNI\", the last one";
    of_objects(NAME, found, (in_use("sem"), sets), 's', next)
}

pub(super) fn socket_buffers() -> Check {
    let of = |file: &str| bytes(number(&format!("/proc/sys/net/core/{file}")));
    let found = format!(
        "unix: holds {} of what was sent (wmem_default), up to {} if asked (wmem_max); udp: {} of what was not received (rmem_default), \
         up to {} if asked (rmem_max), and loses the rest",
        of("wmem_default"),
        of("wmem_max"),
        of("rmem_default"),
        of("rmem_max"),
    );
    let next =
        "more: sysctl net.core.wmem_max=BYTES net.core.rmem_max=BYTES; of tcp: net.ipv4.tcp_wmem and net.ipv4.tcp_rmem";
    Check::ok("socket buffers", found).with_more(next)
}

pub(super) fn datagrams() -> Check {
    const NAME: &str = "datagrams";
    let Some(most) = number("/proc/sys/net/unix/max_dgram_qlen") else {
        return missing(NAME, "unix:?type=dgram", "CONFIG_UNIX");
    };
    // The kernel lets one more wait.
    let found = format!("unix:?type=dgram holds {} messages, however short (max_dgram_qlen)", most + 1);
    let next = "more: sysctl net.unix.max_dgram_qlen=N, for sockets that are made from then on; or type=seqpacket, where bytes count";
    Check::ok(NAME, found).with_more(next)
}

/// With fewer, senders soon wait.
const FEW_SIGNALS: u64 = 64;

pub(super) fn signals() -> Check {
    const NAME: &str = "signals";
    let most = limit(Resource::Sigpending);
    let found = format!(
        "{} wait to be received by all of a user's processes, at most (RLIMIT_SIGPENDING): senders of signal: wait then",
        count(Some(most))
    );
    let next = "more: ulimit -i N, LimitSIGPENDING= of a systemd service, docker run --ulimit sigpending=N";
    if most < FEW_SIGNALS { Check::warn(NAME, found, next) } else { Check::ok(NAME, found).with_more(next) }
}
