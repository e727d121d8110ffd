//! Who may ask, and how: flags, listeners, connections, and the commands about the node itself.
