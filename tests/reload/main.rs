//! What changes on disk goes live, what is wrong does not, and nobody who is connected notices.

// Each binary runs the front door itself; what does not need it is in the support crate.
#[allow(dead_code)]
#[path = "../proxy/front.rs"]
mod front;

mod admin;
mod binary;
mod files;
mod fresh;
mod goaway;
mod irregular;
mod load;
mod logs;
mod process;
mod rotation;
mod upgrade;
mod verbs;
mod world;
