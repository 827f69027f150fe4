//! What children do in these tests besides what they do in all.
//!
//! | command | report |
//! |---|---|
//! | `send-feed` | `begin`, then `sent N` or why not |
//! | `recv-feed FILE` | `begin`, then every message is written to the file before the next is received; at the end `N from FIRST, L lost, then WHY` |
//! | `tally` | `begin`, then receives what several senders sent, at the end `N records, S in sum, then WHY`; a sender's own are in order |
//! | `limit-queues BYTES` | `ok`: the user's queues may take so many bytes together |
//! | `become UID` | `ok`: goes on as another user |

use crate::feed;
use crate::support::{Puppet, die_with_parent, number_of, report};
use ringshm_core::error::RecvError;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;

/// How many records one of several senders sends at most.
pub(crate) const STRIDE: u64 = 1_000_000;

pub(crate) fn obey(puppet: &mut Puppet, words: &[&str]) -> Option<String> {
    Some(match *words {
        ["send-feed"] => {
            report("begin");
            let messages = feed::messages();
            for (n, message) in messages.iter().enumerate() {
                if let Err(error) = puppet.sender().send(message) {
                    return Some(format!("{error:?} at {n}"));
                }
            }
            format!("sent {}", messages.len())
        }
        ["recv-feed", path] => {
            let mut file = File::create(path).expect("a new file");
            report("begin");
            let (mut message, mut count, mut lost, mut first) = (Vec::new(), 0, 0, None);
            let end = loop {
                match puppet.receiver().recv(&mut message) {
                    Ok(_) => {
                        first = first.or(puppet.receiver().position().map(|next| next - 1));
                        file.write_all(&message).expect("the file takes it");
                        count += 1;
                    }
                    Err(RecvError::Lagged(missed)) => lost += missed,
                    Err(error) => break error,
                }
            };
            format!("{count} from {}, {lost} lost, then {end:?}", first.unwrap_or(0))
        }
        ["tally"] => {
            report("begin");
            let (mut message, mut count, mut sum) = (Vec::new(), 0, 0_u64);
            let mut last: HashMap<u64, u64> = HashMap::new();
            let end = loop {
                match puppet.receiver().recv(&mut message) {
                    Ok(_) => {
                        let n = number_of(&message);
                        let before = last.insert(n / STRIDE, n);
                        assert!(before.is_none_or(|before| before < n), "{n} came after {before:?}");
                        count += 1;
                        sum += n;
                    }
                    Err(error) => break error,
                }
            };
            format!("{count} records, {sum} in sum, then {end:?}")
        }
        ["limit-queues", bytes] => {
            let bytes = bytes.parse().expect("a number");
            limit_queues(bytes);
            "ok".to_owned()
        }
        ["become", uid] => {
            let uid = rustix::process::Uid::from_raw(uid.parse().expect("a number"));
            rustix::thread::set_thread_res_uid(uid, uid, uid).expect("the test runs as root");
            die_with_parent();
            "ok".to_owned()
        }
        _ => return None,
    })
}

#[allow(unsafe_code, reason = "setrlimit of a limit that rustix has no name for")]
fn limit_queues(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: a limit that lives through the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &raw const limit) };
    assert_eq!(result, 0, "setrlimit");
}
