//! Memory of what does nothing: the process, and connections before and after their one pipeline.

use std::io::{self, Write};
use std::net::TcpStream;

use engine::resp::encode_command;

use super::bench::{Bench, resident_at_rest};
use super::beside::read_replies;
use super::{Goal, Table};

/// Connections: enough for one page each to be seen, few enough for the usual limit of open files.
const CONNECTIONS: usize = 500;

/// Requests of the pipeline, as deep as the deepest of the other rows.
const PIPELINE: usize = 100;

impl Bench<'_> {
    pub(super) fn rest(&self, table: &mut Table) -> io::Result<()> {
        let server = self.start(None)?;
        let mut figure = |name: &str, value: f64, most: f64| {
            table.push(name, self.column, value);
            table.aim(name, &[Goal { of: 1, beside: None, most }]);
        };
        let empty = resident_at_rest(&server)?;
        figure("at rest: resident MB", empty as f64 / 1e6, 20.0);
        let mut sockets = Vec::new();
        for _ in 0..CONNECTIONS {
            sockets.push(TcpStream::connect(server.address)?);
        }
        // Whoever is answered was accepted after all of them.
        server.client()?.demand(&["PING"])?;
        let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / CONNECTIONS as f64 / 1024.0;
        figure("idle connection: resident KB", each(resident_at_rest(&server)?), 2.0);
        for socket in &mut sockets {
            pipeline(socket)?;
        }
        figure("the same after a pipeline of 100", each(resident_at_rest(&server)?), 20.0);
        Ok(())
    }
}

/// Sends a pipeline and reads all answers.
fn pipeline(socket: &mut TcpStream) -> io::Result<()> {
    let mut requests = Vec::new();
    for _ in 0..PIPELINE {
        encode_command(&mut requests, &[b"SET", b"key:000000000001", &[b'v'; 32]]);
    }
    socket.write_all(&requests)?;
    read_replies(socket, PIPELINE)
}
