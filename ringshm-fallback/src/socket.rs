//! Connected sockets: one side listens, the other connects, and either may start first.
//!
//! | to find | look in |
//! |---|---|
//! | what can be chosen, and what comes of it | `settings` |
//! | where a socket is, what its connections are like | `site` |
//! | accepting; connecting again and again | `door` |
//! | one descriptor for all of it | `watch` |
//! | one connection that is sent into | `post` |
//! | the two sides | `sender`, `receiver` |
//!
//! What is received of a connection is cut into messages by an inlet of its own. The sockets themselves block: each call says whether
//! it waits, so a call that may wait as long as it takes is one system call.
//!
//! A sender that connects has one connection, which it does not ask about before it sends: the kernel's answer to the message says all; that of TCP
//! does not, so there it asks every 5 ms. A sender that listens asks before each message who has come (one system call more): whoever connected before
//! gets it.

mod door;
mod post;
mod receiver;
mod sender;
pub(crate) mod settings;
pub(crate) mod site;
mod watch;

pub use receiver::SocketReceiver;
pub use sender::SocketSender;
pub use settings::Side;
