use super::*;

const MS: u64 = 1_000;

/// A plane whose limit is `limit`, with the given shares, floors of one permit each and 50 ms of patience.
fn plane(limit: f64, split: [f64; 4]) -> Plane<u32> {
    let rails = Rails { floor: PerClass([0.0; 4]), ..Rails::default() };
    let config = PlaneConfig { queue_len_max: 8, fair_share: 1.0, fair_min: u16::MAX };
    let allocation = Allocation { limit, split: PerClass(split), queue_deadline_ms: PerClass([50; 4]) };
    Plane::new(config, &rails, &allocation)
}

fn ask(plane: &Plane<u32>, class: Class, who: u32, now_us: u64) -> Offer<u32> {
    plane.offer(class, FairKey(u64::from(who).wrapping_mul(0x9e37_79b9_7f4a_7c15)), now_us, || who)
}

fn admitted(offer: &Offer<u32>) -> bool {
    matches!(offer, Offer::Admitted)
}

fn fill(plane: &Plane<u32>, class: Class, count: u32) {
    for who in 0..count {
        assert!(admitted(&plane.offer(class, FairKey(0), 0, || who)), "permit {who} of {count}");
    }
}

#[test]
fn less_important_classes_stop_earlier() {
    let plane = plane(20.0, [1.0, 0.8, 0.5, 0.2]);
    fill(&plane, Class::Suspicious, 4);
    assert!(!admitted(&ask(&plane, Class::Suspicious, 1, 0)));
    fill(&plane, Class::Anonymous, 6);
    assert!(!admitted(&ask(&plane, Class::Anonymous, 2, 0)));
    fill(&plane, Class::MoneyMoving, 10);
    assert!(!admitted(&ask(&plane, Class::MoneyMoving, 3, 0)), "the limit binds money as well");
    assert_eq!(plane.held().total(), 20);
}

#[test]
fn every_class_has_its_floor_in_a_full_pool() {
    let plane = plane(20.0, [1.0; 4]);
    fill(&plane, Class::Suspicious, 20);
    for class in [Class::MoneyMoving, Class::AuthenticatedRead, Class::Anonymous] {
        assert!(admitted(&ask(&plane, class, 1, 0)), "{class:?} has a floor of one permit");
        assert!(!admitted(&ask(&plane, class, 2, 0)), "{class:?} has no more than its floor");
    }
    assert_eq!(plane.held().total(), 23, "no more than the limit and the floors together");
}

#[test]
fn permits_that_come_back_go_to_the_most_important_waiter() {
    let plane = plane(16.0, [1.0; 4]);
    fill(&plane, Class::MoneyMoving, 16);
    for class in [Class::AuthenticatedRead, Class::Anonymous, Class::Suspicious] {
        fill(&plane, class, 1); // its floor, so that the next one has to wait
    }
    for class in [Class::Suspicious, Class::Anonymous, Class::AuthenticatedRead, Class::MoneyMoving] {
        assert!(matches!(ask(&plane, class, class as u32, 0), Offer::Queued(..)));
    }
    let mut order = Vec::new();
    for _ in 0..7 {
        let wake = plane.release(Class::MoneyMoving, FairKey(0), MS);
        order.extend(wake.granted.into_iter().map(|(who, ..)| who));
    }
    assert_eq!(order, [0, 1, 2, 3]);
}

#[test]
fn newcomers_do_not_overtake_waiters_of_their_class() {
    let plane = plane(4.0, [1.0; 4]);
    fill(&plane, Class::Anonymous, 4);
    assert!(matches!(ask(&plane, Class::Anonymous, 1, 0), Offer::Queued(..)));
    let wake = plane.release(Class::Anonymous, FairKey(0), MS);
    assert_eq!(wake.granted.len(), 1, "the waiter gets the permit");
    assert!(!admitted(&ask(&plane, Class::Anonymous, 2, MS)));
}

#[test]
fn a_long_queue_is_served_newest_first_and_a_short_one_in_order() {
    // A limit of 16 makes queues of 8: two waiters are few, four are many.
    for (waiters, served) in [(2, 1), (6, 6)] {
        let plane = plane(16.0, [1.0; 4]);
        fill(&plane, Class::Anonymous, 16);
        for who in 1..=waiters {
            assert!(matches!(ask(&plane, Class::Anonymous, who, 0), Offer::Queued(..)));
        }
        let wake = plane.release(Class::Anonymous, FairKey(0), MS);
        assert_eq!(wake.granted.first().map(|(who, ..)| *who), Some(served), "{waiters} waiters");
    }
}

#[test]
fn a_full_queue_lets_its_oldest_go() {
    let plane = plane(16.0, [1.0; 4]);
    fill(&plane, Class::Anonymous, 16);
    for who in 1..=8 {
        assert!(matches!(ask(&plane, Class::Anonymous, who, 0), Offer::Queued(..)));
    }
    match ask(&plane, Class::Anonymous, 9, 0) {
        Offer::Queued(_, wake) => {
            assert_eq!(wake.evicted, vec![(1, Class::Anonymous, ShedReason::Evicted)]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(plane.waiting().get(Class::Anonymous), 8);
}

#[test]
fn whoever_is_overdue_is_shed_and_never_served() {
    let plane = plane(4.0, [1.0; 4]);
    fill(&plane, Class::Anonymous, 4);
    assert!(matches!(ask(&plane, Class::Anonymous, 1, 0), Offer::Queued(..)));
    let wake = plane.release(Class::Anonymous, FairKey(0), 50 * MS);
    assert!(wake.granted.is_empty());
    assert_eq!(wake.evicted, vec![(1, Class::Anonymous, ShedReason::Deadline)]);
    assert!(plane.waiting().is_empty());
}

#[test]
fn no_patience_means_no_queue() {
    let plane = plane(4.0, [1.0; 4]);
    let strict = Allocation { queue_deadline_ms: PerClass([0; 4]), ..Allocation::of_limit(4.0) };
    let _ = plane.apply(&Allocation { split: PerClass([1.0; 4]), ..strict }, 0);
    fill(&plane, Class::Anonymous, 4);
    assert!(matches!(ask(&plane, Class::Anonymous, 1, 0), Offer::Shed(ShedReason::Limit)));
}

#[test]
fn one_customer_cannot_hold_the_whole_class() {
    let rails = Rails::default();
    let config = PlaneConfig { queue_len_max: 16, fair_share: 0.2, fair_min: 4 };
    let allocation = Allocation { split: PerClass([1.0; 4]), ..Allocation::of_limit(100.0) };
    let plane: Plane<u32> = Plane::new(config, &rails, &allocation);
    let greedy = FairKey(42 << 32 | 7);
    let got = (0..100)
        .filter(|_| matches!(plane.offer(Class::AuthenticatedRead, greedy, 0, || 0), Offer::Admitted))
        .count();
    assert_eq!(got, 50, "free while the pool is half empty, its fair share (less than it has) after that");
    assert!(plane.waiting().get(Class::AuthenticatedRead) <= 4, "nor may it fill the queue");
    for who in 0..40 {
        assert!(admitted(&ask(&plane, Class::MoneyMoving, who, 0)), "another customer is not in its way");
    }
}

#[test]
fn leaving_the_queue_is_told_apart_from_having_been_served() {
    let plane = plane(4.0, [1.0; 4]);
    fill(&plane, Class::Anonymous, 4);
    let Offer::Queued(first, _) = ask(&plane, Class::Anonymous, 1, 0) else { panic!("waits") };
    let Offer::Queued(second, _) = ask(&plane, Class::Anonymous, 2, 0) else { panic!("waits") };
    assert!(plane.cancel(first));
    assert!(!plane.cancel(first), "only once");
    assert_eq!(plane.release(Class::Anonymous, FairKey(0), MS).granted.len(), 1);
    assert!(!plane.cancel(second), "already served");
    assert!(plane.waiting().is_empty());
}

#[test]
fn reclassifying_keeps_the_sum_and_tells_whether_there_is_room() {
    let plane = plane(20.0, [1.0, 1.0, 0.5, 0.1]);
    fill(&plane, Class::Anonymous, 10);
    let (within, _) = plane.reclassify(Class::Anonymous, Class::MoneyMoving, 0);
    assert!(within);
    let (within, _) = plane.reclassify(Class::Anonymous, Class::Suspicious, 0);
    assert!(within, "its floor");
    let (within, _) = plane.reclassify(Class::Anonymous, Class::Suspicious, 0);
    assert!(!within, "ten in flight are more than a suspicious request finds room beside");
    assert_eq!(plane.held().total(), 10);
}

#[test]
fn a_greater_limit_lets_waiters_in_at_once() {
    let plane = plane(4.0, [1.0; 4]);
    fill(&plane, Class::Anonymous, 4);
    let _ = ask(&plane, Class::Anonymous, 1, 0);
    let wider = Allocation { split: PerClass([1.0; 4]), ..Allocation::of_limit(6.0) };
    assert_eq!(plane.apply(&wider, MS).granted.len(), 1);
}

#[test]
fn many_threads_never_exceed_the_limit_and_leave_nothing_behind() {
    let plane = plane(8.0, [1.0; 4]);
    let most = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (plane, most) = (&plane, &most);
            scope.spawn(move || {
                let mut held: Vec<(Class, FairKey)> = Vec::new();
                for step in 0..20_000_u32 {
                    let class = Class::ALL[((step * 7 + thread) % 4) as usize];
                    let key = FairKey(u64::from(step % 97) << 32 | u64::from(step % 89));
                    let mut wake = Wake::default();
                    match plane.offer(class, key, u64::from(step), || step) {
                        Offer::Admitted => held.push((class, key)),
                        Offer::Queued(ticket, woken) => {
                            wake = woken;
                            let _ = plane.cancel(ticket);
                        }
                        Offer::Shed(_) => {}
                    }
                    held.extend(wake.granted.into_iter().map(|(_, class, key)| (class, key)));
                    most.fetch_max(plane.held().total(), SeqCst);
                    if (step % 3 != 0 || held.len() > 4)
                        && let Some((class, key)) = held.pop()
                    {
                        let wake = plane.release(class, key, u64::from(step));
                        held.extend(wake.granted.into_iter().map(|(_, class, key)| (class, key)));
                    }
                }
                while let Some((class, key)) = held.pop() {
                    let wake = plane.release(class, key, 0);
                    held.extend(wake.granted.into_iter().map(|(_, class, key)| (class, key)));
                }
            });
        }
    });
    assert!(most.into_inner() <= 8 + 4, "the limit and one floor permit a class");
    assert!(plane.held().is_empty());
    assert!(plane.waiting().is_empty());
}
