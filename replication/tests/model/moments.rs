//! The moment of a snapshot: what begins while it is fixed makes it another one.

use crate::member::Member;
use engine::journal::HistoryId;
use engine::model::World;
use engine::types::{DbIndex, Lsn};
use replication::here::Rests;
use replication::origin::{Origin, StreamPosition};
use replication::relay::Relay;
use replication::standing::AtRest;

/// No session is held.
struct Nobody;

impl Rests for Nobody {
    fn at_rest(&self) -> AtRest {
        unreachable!("nobody rests")
    }
}

/// The snapshot said where a Redis's stream had been applied before a session that went on there meanwhile: after a start
/// from it what that session had brought was applied once more.
#[test]
fn a_session_with_a_redis_that_goes_on_meanwhile_is_not_passed_over() {
    let world = World::new(1);
    let member = Member::new(&world, "node".to_owned(), 1);
    let stream = StreamPosition { id: "0".repeat(40), offset: 7, db: DbIndex(0) };
    world.block_on(async move {
        let here = &member.here;
        let origin = Origin { stream: Some(stream.clone()), ..Origin::unknown() };
        let no_tail = Relay::starting_at(&[]);
        here.standing.restore(HistoryId([1; 20]), origin, no_tail, true).await;
        let fixed = async |goes_on: bool| {
            let cut = async || {
                if goes_on {
                    here.go_on_telling();
                }
                Ok(vec![Lsn(0)])
            };
            here.moment(async || None::<Nobody>, cut).await.expect("the data is whole")
        };
        assert_eq!(fixed(false).await.and_then(|origin| origin.stream), Some(stream));
        assert_eq!(fixed(true).await, None);
        assert_eq!(fixed(false).await.and_then(|origin| origin.stream), None);
    });
}
