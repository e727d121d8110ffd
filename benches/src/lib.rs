//! Load generator and side-by-side runs against installed peers.
