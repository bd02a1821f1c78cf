//! What changes on disk goes live, what is wrong does not, and nobody who is connected notices.

#[allow(dead_code)] // shared with the proxy's tests
#[path = "../proxy/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../proxy/front.rs"]
mod front;
#[allow(dead_code)]
#[path = "../proxy/pki.rs"]
mod pki;
#[allow(dead_code)]
#[path = "../proxy/upstream.rs"]
mod upstream;

mod admin;
mod binary;
mod files;
mod fresh;
mod irregular;
mod load;
mod logs;
mod process;
mod rotation;
mod told;
mod upgrade;
mod verbs;
mod world;
