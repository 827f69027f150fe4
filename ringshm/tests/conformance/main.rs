//! What every channel does, and what those that cannot do it say instead: one suite over all rings and all transports, by their names.
//!
//! What only one mechanism does is tested with it, in `ringshm-fallback/tests`.

mod messages;
mod subject;
mod suite;
#[cfg(any(feature = "tokio", feature = "async-io"))]
mod tasks;

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use subject::Subject;

/// The suite, for the channel of that name. `{id}` stands for something that no other test has, `{dir}` for a folder of its own,
/// `{port}` for a TCP port, `{key}` for a System V key that nobody has.
macro_rules! conforms {
    ($($subject:ident: $name:expr;)*) => {$(
        mod $subject {
            conforms!(@ suite, $subject, $name; opens_in_either_order, keeps_order_and_each_message_once, says_that_there_is_nothing,
                says_that_it_is_full, carries_the_longest_message_and_no_longer, carries_empty_messages_and_any_byte,
                tells_the_receiver_of_the_end, tells_the_sender_of_the_end, lets_a_blocked_receiver_go, lets_a_blocked_sender_go,
                has_many_senders, has_many_receivers, carries_batches, wakes_a_wait_set, is_waited_for_by_sender_and_receiver_at_once);
            #[cfg(feature = "tokio")]
            conforms!(@ tasks, $subject, $name; is_awaited_in_tokio);
            #[cfg(feature = "async-io")]
            conforms!(@ tasks, $subject, $name; is_awaited_in_async_io);
        }
    )*};
    (@ $module:ident, $subject:ident, $name:expr; $($test:ident),*) => {$(
        #[test]
        fn $test() {
            crate::run($name, concat!(stringify!($subject), "::", stringify!($test)), crate::$module::$test);
        }
    )*};
}

/// Runs one test, for signals in a process of its own.
fn run(channel: &str, test: &str, body: fn(&Subject)) {
    if channel.starts_with("signal:") && std::env::var_os(BLOCKED).is_none() {
        return run_with_the_signal_blocked(test);
    }
    body(&Subject::named(channel));
}

/// Set where the signal is blocked.
const BLOCKED: &str = "RINGSHM_TEST_BLOCKED";

/// A process that receives signals blocks them before it has a second thread. That is too late for a test, so the process is started like that.
fn run_with_the_signal_blocked(test: &str) {
    // One after the other: the kernel counts the signals that wait of all processes of a user together. Few, so that it is soon full.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut env = Command::new("prlimit");
    env.args(["--sigpending=100", "env", "--block-signal=RTMIN+1", &format!("{BLOCKED}=1")]);
    env.arg(std::env::current_exe().expect("a test binary knows its path")).args([test, "--exact"]);
    let output = env.output().expect("prlimit of util-linux and env of the GNU coreutils are there");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

conforms! {
    spsc_ring: "shm://{id}?capacity=4096";
    mpmc_ring: "shm://{id}?ring=mpmc&capacity=16&max_message=300";
    broadcast_ring: "shm://{id}?ring=broadcast&capacity=4096";
    auto_by_ring: "auto://{id}?capacity=4096&sockets={dir}&without=handover,unix";
    ring_in_a_file: "file://{dir}/ring?capacity=4096";
    mpmc_ring_in_a_file: "file://{dir}/ring?ring=mpmc&capacity=16&max_message=300";
    broadcast_ring_in_a_file: "file://{dir}/ring?ring=broadcast&capacity=4096";
    ring_in_system_v_memory: "sysv-shm://{key}?capacity=4096";
    mpmc_ring_in_system_v_memory: "sysv-shm://{key}?ring=mpmc&capacity=16&max_message=300";
    broadcast_ring_in_system_v_memory: "sysv-shm://{key}?ring=broadcast&capacity=4096";
    posix_mq: "mq:///{id}?messages=8";
    bare_posix_mq: "mq:///{id}?messages=8&framing=bare";
    sysv_mq: "sysv://{dir}?capacity=4096";
    auto_by_socket: "auto://{id}?capacity=4096&sockets={dir}&without=shm,handover";
    auto_by_tcp: "auto://{id}?capacity=4096&without=shm,handover,unix&tcp=127.0.0.1:{port}";
    pipe: "pipe:{pipe}";
    fifo: "fifo:{dir}/f";
    fifo_of_lines: "fifo:{dir}/f?framing=lines&max_message=300";
    fifo_of_many: "fifo:{dir}/f?senders=many";
    lossy_reader: "shm://{id}?ring=broadcast&capacity=4096&lossy";
    unix_datagrams: "unix:{dir}/s?type=dgram";
    unix_stream: "unix:{dir}/s?type=stream";
    unix_seqpacket: "unix:{dir}/s?type=seqpacket";
    unix_stream_of_a_listening_sender: "unix:{dir}/s?type=stream&listen=sender";
    unix_seqpacket_of_a_listening_sender: "unix:{dir}/s?type=seqpacket&listen=sender";
    unix_bare_seqpacket: "unix:{dir}/s?type=seqpacket&framing=bare&max_message=100000";
    tcp: "tcp://localhost:{port}";
    tcp_of_a_listening_sender: "tcp://localhost:{port}?listen=sender";
    udp: "udp://127.0.0.1:{port}";
    tcp_lines: "tcp://127.0.0.1:{port}?framing=lines&max_message=300";
    signals: "signal://self?signal=RTMIN+1";
    signals_of_four_bytes: "signal://self?signal=RTMIN+1&framing=raw:4";
}
