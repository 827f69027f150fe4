//! Where the channel of a run is: at a place of its own, made of the name that the user gave, so that whoever uses the channel of that
//! name is not disturbed.
//!
//! | scheme | what is kept of the name's place | and what is new |
//! |---|---|---|
//! | `fifo`, `unix`, `file` | the folder, or that it is abstract (`@`) | the file |
//! | `tcp`, `udp` | the host | the port, a free one |
//! | `pipe` | nothing | the inherited descriptor |
//! | `signal` | nothing | the process |
//! | others | nothing | the name, or the key |

use anyhow::{Context as _, Result};
use ringshm::Directory;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// A name, taken apart.
struct Parts<'a> {
    scheme: &'a str,
    place: &'a str,
    /// With the question mark, or empty.
    options: &'a str,
}

/// The parts of a name. One without a scheme is a ring's.
fn parts(name: &str) -> Parts<'_> {
    let (scheme, rest) = name.split_once(':').unwrap_or(("shm", name));
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (place, options) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    Parts { scheme, place, options }
}

/// What stands before the colon of a channel's name.
#[must_use]
pub fn scheme(name: &str) -> &str {
    parts(name).scheme
}

/// Whether it is a ring's, wherever that lies.
#[must_use]
pub fn is_ring(name: &str) -> bool {
    matches!(scheme(name), "shm" | "file" | "sysv-shm")
}

/// The value of an option if it is given, empty if it was given without one.
#[must_use]
pub fn option<'a>(name: &'a str, option: &str) -> Option<&'a str> {
    let mut options = parts(name).options.trim_start_matches('?').split('&');
    options.find_map(|given| {
        let (key, value) = given.split_once('=').unwrap_or((given, ""));
        (key == option).then_some(value)
    })
}

/// The same name, somewhere else.
#[must_use]
pub fn moved(name: &str, place: &str) -> String {
    let Parts { scheme, options, .. } = parts(name);
    format!("{scheme}://{place}{options}")
}

/// The name of a run's own channel. `id` is what no other channel has: letters, digits and dashes.
///
/// # Errors
/// If there is no such host.
pub fn of(name: &str, id: &str) -> Result<String> {
    let Parts { scheme, place, .. } = parts(name);
    let place = match scheme {
        // Of these a process knows the place when it has begun: see `rivals::channels`.
        "pipe" | "signal" => String::new(),
        "fifo" | "unix" | "file" if place.starts_with('@') => format!("@{id}"),
        "fifo" | "unix" | "file" => folder(place).join(id).to_string_lossy().into_owned(),
        "mq" => format!("/{id}"),
        "tcp" | "udp" => free_port(scheme, place)?,
        // Far from the small numbers that people take.
        "sysv" | "sysv-shm" => format!("{:#x}", (hash(id) >> 33) | (1 << 30)),
        _ => id.to_owned(),
    };
    Ok(moved(name, &place))
}

/// The folder of a path, or the one for temporary files.
fn folder(path: &str) -> PathBuf {
    match Path::new(path).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => std::env::temp_dir(),
    }
}

/// The same number for the same text in all processes of a program.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A port that nobody has. The kernel gives them out by turns, so that it hardly gives this one to anybody else before it is used.
fn free_port(scheme: &str, place: &str) -> Result<String> {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    let any = format!("{host}:0");
    let address = match scheme {
        "tcp" => TcpListener::bind(&any).and_then(|socket| socket.local_addr()),
        _ => UdpSocket::bind(&any).and_then(|socket| socket.local_addr()),
    };
    let port = address.with_context(|| format!("looking for a free port of {host}"))?.port();
    Ok(format!("{host}:{port}"))
}

/// Removes what is left of a run's own channel because its processes were killed. If they left in order, nothing is.
pub fn clear(name: &str, directory: Option<&Path>) {
    let Parts { scheme, place, .. } = parts(name);
    match scheme {
        "shm" => {
            let directory = directory.map_or_else(Directory::default, Directory::new);
            // It may be gone already.
            let _ = ringshm::remove(&directory, place, true);
        }
        "fifo" | "unix" | "file" => {
            let path = Path::new(place);
            let (Some(folder), Some(file)) = (path.parent(), path.file_name()) else { return };
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                // And what a mechanism has beside it.
                if entry.file_name().as_encoded_bytes().starts_with(file.as_encoded_bytes()) {
                    // Nobody is left to tell what could not be removed.
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
        "mq" | "sysv" | "sysv-shm" => come_and_leave(name),
        _ => {}
    }
}

/// Who leaves a queue last that is empty takes it away.
fn come_and_leave(name: &str) {
    let Ok(mut receiver) = ringshm::open(name).receiver() else { return };
    drop(ringshm::open(name).sender());
    let mut message = Vec::new();
    while receiver.try_recv(&mut message).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_of_ones_own_keeps_what_matters_of_the_name() {
        for (name, own) in [
            ("ticks", "shm://x-1"),
            ("shm:?ring=mpmc", "shm://x-1?ring=mpmc"),
            ("shm://ticks", "shm://x-1"),
            ("mq:///jobs?max_message=64", "mq:///x-1?max_message=64"),
            ("fifo:///run/app/feed", "fifo:///run/app/x-1"),
            ("unix:@app?type=dgram", "unix://@x-1?type=dgram"),
            ("pipe:3?packets", "pipe://?packets"),
        ] {
            assert_eq!(of(name, "x-1").unwrap(), own, "{name}");
        }
        let own = of("unix:", "x-1").unwrap();
        assert_eq!(own, format!("unix://{}", std::env::temp_dir().join("x-1").display()));
        assert!(of("tcp:", "x-1").unwrap().starts_with("tcp://127.0.0.1:"));
        assert!(
            of("udp://[::1]:9000", "x-1")
                .map_or(true, |own| own.starts_with("udp://[::1]:") && !own.ends_with(":9000"))
        );
        let (one, other) = (of("sysv:", "x-1").unwrap(), of("sysv:", "x-2").unwrap());
        assert!(
            one != other && i32::from_str_radix(one.trim_start_matches("sysv://0x"), 16).unwrap() > 1 << 29,
            "{one}"
        );
    }

    #[test]
    fn options_are_found_by_their_whole_names() {
        assert_eq!(option("pipe:?packets", "packets"), Some(""));
        assert_eq!(option("unix:?a=1&type=dgram", "type"), Some("dgram"));
        assert_eq!((option("pipe:", "packets"), option("pipe:?packetsize=3", "packets")), (None, None));
    }
}
