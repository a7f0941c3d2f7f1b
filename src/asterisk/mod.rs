//! The PBX's side: its messages (pure), its listener, and the task of one call's leg.

pub mod ami;
pub mod leg;
pub mod listener;
pub mod media;
pub mod message;
pub mod route;
