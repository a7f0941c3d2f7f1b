//! The PBX's side: its messages (pure), its listener, the task of one call's leg, its manager and
//! what is done through it, and ARI, by which any channel of its can be listened to.

pub mod ami;
pub mod ari;
pub mod audiofork;
pub mod control;
mod fork;
pub mod leg;
pub mod listener;
pub mod media;
pub mod message;
pub mod route;
mod tapped;
