//! How much of its own mechanisms the kernel lets a user have: each limit in terms of the channels that meet it, and how to raise it.

use super::Check;
use super::rings::DEFAULT_RING;
use crate::size;
use rustix::process::{Resource, getrlimit};

/// A number that the kernel shows in a file.
fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn bytes(number: Option<u64>) -> String {
    number.map_or_else(
        unknown,
        |number| if number > MOST { "any number of bytes".to_owned() } else { size::bytes(number) },
    )
}

fn count(number: Option<u64>) -> String {
    number.map_or_else(unknown, |number| if number > MOST { "any number".to_owned() } else { size::grouped(number) })
}

fn unknown() -> String {
    "an unknown number".to_owned()
}

/// More than this is no limit.
const MOST: u64 = 1 << 50;

/// What this process may have of something. `None` is any number.
fn limit(resource: Resource) -> Option<u64> {
    getrlimit(resource).current
}

/// How many objects /proc/sysvipc has in a list: a line each, below a heading.
fn in_use(list: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/sysvipc/{list}")).ok()?;
    Some(text.lines().count().saturating_sub(1) as u64)
}

fn missing(name: &'static str, schemes: &str, option: &str) -> Check {
    Check::warn(
        name,
        format!("this kernel has none: no {schemes}"),
        format!("use a kernel with {option}, or another mechanism"),
    )
}

/// What a program needs beside its channels, and what is left for them then.
const FEW_DESCRIPTORS: u64 = 128;

pub(super) fn descriptors() -> Check {
    const NAME: &str = "descriptors";
    let limit = getrlimit(Resource::Nofile);
    let most = limit.current.unwrap_or(u64::MAX);
    let found = format!(
        "{} in a process (RLIMIT_NOFILE): one or two for a side of a channel, and for a stream's receiver one for each sender",
        count(Some(most))
    );
    let next = match limit.maximum {
        Some(maximum) if maximum <= most => {
            format!(
                "more: root, ulimit -Hn; LimitNOFILE= of a systemd service; docker run --ulimit nofile={}",
                2 * most
            )
        }
        maximum => format!("more: ulimit -n, up to {}", count(Some(maximum.unwrap_or(u64::MAX)))),
    };
    if most < FEW_DESCRIPTORS { Check::warn(NAME, found, next) } else { Check::ok(NAME, found).with_more(next) }
}

/// What the kernel gives a pipe, and what it leaves to one of a user who has too much already.
const PIPE: u64 = 64 << 10;
const SMALL_PIPE: u64 = 8 << 10;

pub(super) fn pipes() -> Check {
    let largest = number("/proc/sys/fs/pipe-max-size");
    let soft = number("/proc/sys/fs/pipe-user-pages-soft").map(|pages| pages * rustix::param::page_size() as u64);
    let together = match soft {
        Some(0) => "no limit for all of a user's together (pipe-user-pages-soft)".to_owned(),
        soft => format!(
            "all of a user's together {} (pipe-user-pages-soft), new ones beyond that {} each",
            bytes(soft),
            size::bytes(SMALL_PIPE)
        ),
    };
    let found = format!(
        "pipe: and fifo: hold {}, or up to {} if asked (pipe-max-size); {together}",
        size::bytes(PIPE),
        bytes(largest)
    );
    Check::ok("pipes", found).with_more("more: sysctl fs.pipe-max-size=BYTES fs.pipe-user-pages-soft=PAGES")
}

/// What the kernel counts for each message that a queue may hold, beside its bytes: see getrlimit(2).
const OF_A_MESSAGE: u64 = 48 + 48;

pub(super) fn posix_queues() -> Check {
    const NAME: &str = "POSIX queues";
    let of = |file: &str| number(&format!("/proc/sys/fs/mqueue/{file}"));
    let (Some(messages), Some(longest)) = (of("msg_default"), of("msgsize_default")) else {
        return missing(NAME, "mq:", "CONFIG_POSIX_MQUEUE");
    };
    let (messages, longest) =
        (messages.min(of("msg_max").unwrap_or(messages)), longest.min(of("msgsize_max").unwrap_or(longest)));
    let usual = messages * (longest + OF_A_MESSAGE);
    let memory = limit(Resource::Msgqueue);
    let room = memory.unwrap_or(u64::MAX) / usual.max(1);
    let found = format!(
        "mq: holds {} messages of {}, or up to {} of up to {} if asked (msg_max, msgsize_max), but not for root; {} queues in all (queues_max); \
         all of a user's together {} (RLIMIT_MSGQUEUE), {} of the usual size",
        count(Some(messages)),
        size::bytes(longest),
        count(of("msg_max")),
        bytes(of("msgsize_max")),
        count(of("queues_max")),
        bytes(Some(memory.unwrap_or(u64::MAX))),
        count(Some(room)),
    );
    let next = "more: sysctl fs.mqueue.msg_max=N fs.mqueue.msgsize_max=BYTES fs.mqueue.queues_max=N, and ulimit -q BYTES, \
                LimitMSGQUEUE= of a systemd service, docker run --ulimit msgqueue=BYTES";
    if room == 0 {
        Check::warn(NAME, format!("{found}: no mq: can be made unless smaller ones are asked for"), next)
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
    let used = in_use("msg");
    let found = format!(
        "sysv: takes messages of up to {} (msgmax) and holds {} (msgmnb); {} of {} queues are in use (msgmni)",
        size::bytes(longest.min(whole)),
        size::bytes(whole),
        count(used),
        count(Some(most)),
    );
    let next =
        "more: sysctl kernel.msgmax=BYTES kernel.msgmnb=BYTES kernel.msgmni=N; for queues that are made from then on";
    if used.is_some_and(|used| used >= most) {
        Check::warn(NAME, found, format!("{}, or {next}", remove("q")))
    } else {
        Check::ok(NAME, found).with_more(next)
    }
}

/// How to have fewer of something.
fn remove(what: &str) -> String {
    format!("remove what nobody uses (ipcs -{what}, ipcrm -{what} ID)")
}

pub(super) fn system_v_memory() -> Check {
    const NAME: &str = "System V memory";
    let of = |file: &str| number(&format!("/proc/sys/kernel/{file}"));
    let (Some(largest), Some(pages), Some(most)) = (of("shmmax"), of("shmall"), of("shmmni")) else {
        return missing(NAME, "sysv-shm:", "CONFIG_SYSVIPC");
    };
    let used = in_use("shm");
    let together = pages.saturating_mul(rustix::param::page_size() as u64);
    let found = format!(
        "a ring in sysv-shm: has up to {} (shmmax), all together {} (shmall); {} of {} segments are in use (shmmni)",
        bytes(Some(largest)),
        bytes(Some(together)),
        count(used),
        count(Some(most)),
    );
    let next = "more: sysctl kernel.shmmax=BYTES kernel.shmall=PAGES kernel.shmmni=N";
    if used.is_some_and(|used| used >= most) || largest.min(together) < DEFAULT_RING {
        Check::warn(NAME, found, format!("{}, or {next}", remove("m")))
    } else {
        Check::ok(NAME, found).with_more(next)
    }
}

pub(super) fn system_v_semaphores() -> Check {
    const NAME: &str = "System V sems";
    let text = std::fs::read_to_string("/proc/sys/kernel/sem").unwrap_or_default();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [in_a_set, in_all, _, sets] = numbers[..] else {
        return missing(NAME, "sysv: and sysv-shm:, which tell by them who lives", "CONFIG_SYSVIPC");
    };
    let used = in_use("sem");
    let found = format!(
        "who lives at a sysv: or sysv-shm: is told by a set of semaphores; {} of {} sets are in use (SEMMNI), with up to {} each (SEMMSL), {} in all (SEMMNS)",
        count(used),
        count(Some(sets)),
        count(Some(in_a_set)),
        count(Some(in_all)),
    );
    let next = "more: sysctl kernel.sem=\"SEMMSL SEMMNS SEMOPM SEMMNI\"";
    if used.is_some_and(|used| used >= sets) {
        Check::warn(NAME, found, format!("{}, or {next}", remove("s")))
    } else {
        Check::ok(NAME, found).with_more(next)
    }
}

pub(super) fn socket_buffers() -> Check {
    let of = |file: &str| number(&format!("/proc/sys/net/core/{file}"));
    let found = format!(
        "of what is sent, unix: holds {} (wmem_default), or up to {} if asked (wmem_max); of what is received, udp: holds {} (rmem_default), \
         or up to {} (rmem_max), and loses what comes then",
        bytes(of("wmem_default")),
        bytes(of("wmem_max")),
        bytes(of("rmem_default")),
        bytes(of("rmem_max")),
    );
    let next = "more: sysctl net.core.rmem_max=BYTES net.core.wmem_max=BYTES, and ask for it in the name; tcp: has net.ipv4.tcp_rmem and tcp_wmem";
    Check::ok("socket buffers", found).with_more(next)
}

pub(super) fn datagrams() -> Check {
    const NAME: &str = "datagrams";
    let Some(waiting) = number("/proc/sys/net/unix/max_dgram_qlen") else {
        return missing(NAME, "unix:?type=dgram", "CONFIG_UNIX, and sysctl");
    };
    let found = format!(
        "unix:?type=dgram holds {} messages, however short (max_dgram_qlen): then its senders wait",
        count(Some(waiting + 1))
    );
    Check::ok(NAME, found)
        .with_more("more: sysctl net.unix.max_dgram_qlen=N, for sockets that are made from then on; or type=seqpacket, which counts bytes")
}

/// With fewer, senders of signals wait for each other's.
const FEW_SIGNALS: u64 = 64;

pub(super) fn signals() -> Check {
    const NAME: &str = "signals";
    let most = limit(Resource::Sigpending).unwrap_or(u64::MAX);
    let found = format!(
        "{} may wait to be received, for all of a user's processes together (RLIMIT_SIGPENDING): then senders of signal: wait",
        count(Some(most))
    );
    let next = "more: ulimit -i N; LimitSIGPENDING= of a systemd service; docker run --ulimit sigpending=N";
    if most < FEW_SIGNALS { Check::warn(NAME, found, next) } else { Check::ok(NAME, found).with_more(next) }
}
