//! PURE: audio. `frame` has the sizes, `framer` cuts a stream into whole frames, `pacer` keeps
//! what is ahead in Asterisk's queue small, `music` is what who is held hears; `align` puts both sides
//! of a call onto one grid for those who listen, `slot` and `decimate` give it the shape that they want.

pub mod align;
pub mod decimate;
pub mod frame;
pub mod framer;
pub mod music;
pub mod pacer;
pub mod slot;
