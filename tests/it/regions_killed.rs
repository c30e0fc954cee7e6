//! The agent of either region is killed at each step of a move, and the next one goes on where it stood.

use crate::bed::SOON;
use crate::bed::regions::{CENTRAL, MOVED, Regions, WEST};

/// The steps at which agents are killed: each is seen in the status of the target.
const STEPS: [&str; 6] = ["scaleTarget", "fence", "writers", "cronAndConsumers", "traffic", "drain"];

#[test]
fn agents_that_are_killed_at_any_step_of_a_move_go_on_where_they_stood() {
    let regions = Regions::new("killed");
    let (west, central) = (&regions.west, &regions.central);
    let (mut of_west, mut of_central) = (west.agent(), central.agent());
    regions.point_to(WEST, 1);
    west.wait_active(SOON, 1);
    central.wait_standby(SOON, WEST);
    let mut epoch = 1;
    for (n, at) in STEPS.into_iter().enumerate() {
        epoch += 1;
        let (to, from) = if epoch % 2 == 0 { (central, west) } else { (west, central) };
        let target = if epoch % 2 == 0 { CENTRAL } else { WEST };
        regions.point_to(target, epoch);
        to.wait(MOVED, &format!("it is at {at} or beyond"), |status| {
            status["run"]["epoch"] == epoch
                && (status["run"]["step"] == at || status["run"]["state"] == "Ended")
        });
        let of = |step: usize| step % 3;
        // The target's, the old region's, or both.
        let (kill_target, kill_old) = (of(n) != 1, of(n) != 0);
        let is_central = epoch % 2 == 0;
        if (kill_target && is_central) || (kill_old && !is_central) {
            of_central.signal("KILL");
            of_central = central.agent();
        }
        if (kill_target && !is_central) || (kill_old && is_central) {
            of_west.signal("KILL");
            of_west = west.agent();
        }
        let moved = to.wait_active(MOVED, epoch);
        assert_eq!(moved["run"]["message"], "done", "killed at {at}: {moved:#}");
        from.wait_standby(SOON, target);
        regions.ledger.judge();
    }
    assert_eq!(regions.ledger.judge().map(|count| count >= 6), [true, true]);
    drop((of_west, of_central));
}
