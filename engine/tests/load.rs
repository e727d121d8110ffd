//! Files and streams of Redis's form, of every version and encoding, become the data set of a node; what is no
//! such file is one error and no panic.

mod load_made;
mod model_common;

use engine::db::Digest;
use engine::model::{ModelNode, World};
use engine::rdb::file::FileError;
use engine::snapshot::{Loaded, Loader, Options};
use load_made::{As, Made, text_as};

const OPTIONS: Options = Options { keeps_expired: false };

/// Loads a file that comes in pieces of this size into a node.
fn load_into(
    node: &ModelNode,
    bytes: &[u8],
    piece: usize,
    options: Options,
) -> Result<Loaded, FileError> {
    let (front, bytes) = (node.outside().clone(), bytes.to_vec());
    node.world().block_on(async move {
        let mut loader = Loader::new(&front, options).await;
        for piece in bytes.chunks(piece) {
            loader.push(piece).await?;
        }
        loader.end().await
    })
}

fn load(bytes: &[u8], shards: u16, piece: usize) -> (Result<Loaded, FileError>, Digest) {
    let node = ModelNode::in_world(&World::new(1), shards);
    let loaded = load_into(&node, bytes, piece, OPTIONS);
    (loaded, node.digest())
}

#[test]
fn an_empty_file_is_an_empty_data_set() {
    for version in (1..=13).chain([80, 89]) {
        let (loaded, digest) = load(&Made::new(version).end(), 2, 1);
        assert_eq!(loaded.map(|loaded| (loaded.version, loaded.keys)), Ok((version, 0)));
        assert_eq!(digest, Digest::default());
    }
}

#[test]
fn strings_in_every_form_are_what_they_say() {
    let mut made = Made::new(9);
    let long = "long ".repeat(100_000).into_bytes();
    let even = vec![b'e'; 1_000_000];
    let strings: [(&[u8], As); 9] = [
        (b"plain", As::Plain),
        (b"two", As::Two),
        (b"four", As::Four),
        (b"eight", As::Eight),
        (b"-12", As::Integer),
        (b"70000", As::Integer),
        (b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", As::Lzf),
        (&even, As::Lzf),
        (&long, As::Plain),
    ];
    let twin = ModelNode::in_world(&World::new(2), 1);
    for (index, (bytes, how)) in strings.iter().enumerate() {
        made.key(0, &format!("key{index}"), &text_as(bytes, *how));
        let mut client = twin.client(0);
        let key = format!("key{index}").into_bytes();
        let bytes = bytes.to_vec();
        twin.world().block_on(async move { client.run(&[b"SET", &key, &bytes]).await });
    }
    let bytes = made.end();
    for (shards, piece) in [(1, usize::MAX), (3, 1000), (2, 70_000)] {
        let (loaded, digest) = load(&bytes, shards, piece);
        assert_eq!(loaded.map(|loaded| loaded.keys), Ok(strings.len() as u64));
        assert_eq!(digest, twin.digest());
    }
}
