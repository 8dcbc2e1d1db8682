//! R21: the token pulled out or swapped, its PIN blocked, the network lost, the server killed, at every step of obtaining a
//! certificate, renewing it and clearing the old one away. Each time the message is clear, the next run goes on, there is
//! no second certificate, and the old one works until the new one does.

mod authority;
#[path = "../agent/bench.rs"]
mod bench;
mod desk;
mod network;
#[path = "../agent/server.rs"]
mod server;
mod token;
