//! The cache on disk: shared, bounded, healed.

use crate::bed::*;

#[test]
fn two_who_follow_one_remote_share_its_mirror() {
    let (origin, _) = Origin::with_one_commit();
    let cache = Cache::new();
    let (one, two) = (cache.mirror(&origin.url()), cache.mirror(&origin.url()));
    assert!(std::sync::Arc::ptr_eq(&one, &two));
}
