//! The bodies of the fuzz targets. See `bodies`.
pub mod bodies;
