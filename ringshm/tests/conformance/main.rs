//! What every channel does, and what those that cannot do it say instead: one suite over all rings and all transports, by their names.
//!
//! What only one mechanism does is tested with it, in `ringshm-fallback/tests`.

mod messages;
mod subject;
mod suite;

use subject::Subject;

/// The suite, for the channel of that name. `{id}` stands for something that no other test has, `{dir}` for a folder of its own,
/// `{port}` for a TCP port that nobody has.
macro_rules! conforms {
    ($($subject:ident: $name:expr;)*) => {$(
        mod $subject {
            use super::{Subject, suite};

            fn subject() -> Subject {
                Subject::named($name)
            }

            conforms!(@ opens_in_either_order, keeps_order_and_each_message_once, says_that_there_is_nothing, says_that_it_is_full,
                carries_the_longest_message_and_no_longer, carries_empty_messages_and_any_byte, tells_the_receiver_of_the_end,
                tells_the_sender_of_the_end, lets_a_blocked_receiver_go, lets_a_blocked_sender_go, has_many_senders, has_many_receivers,
                carries_batches, wakes_a_wait_set, is_waited_for_by_sender_and_receiver_at_once);
        }
    )*};
    (@ $($test:ident),*) => {$(
        #[test]
        fn $test() {
            suite::$test(&subject());
        }
    )*};
}

conforms! {
    spsc_ring: "shm://{id}?capacity=4096";
    mpmc_ring: "shm://{id}?ring=mpmc&capacity=16&max_message=300";
    broadcast_ring: "shm://{id}?ring=broadcast&capacity=4096";
    auto_by_ring: "auto://{id}?capacity=4096&sockets={dir}&without=handover,unix";
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
    unix_bare_seqpacket: "unix:{dir}/s?type=seqpacket&framing=bare&max_message=100000";
    tcp: "tcp://localhost:{port}";
    udp: "udp://127.0.0.1:{port}";
    tcp_lines: "tcp://127.0.0.1:{port}?framing=lines&max_message=300";
}
