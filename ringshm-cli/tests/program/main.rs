//! The program `ringshm`, as a shell runs it: processes, their output, their exit codes, and what they leave behind.

mod bench;
mod demo;
mod framings;
mod kills;
mod kinds;
mod looking;
mod place;
mod several;
mod tail;
mod transfer;
mod video;
mod watching;
