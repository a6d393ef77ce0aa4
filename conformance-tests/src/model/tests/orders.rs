//! A store may decide the renewals of a batch in any order.

use std::collections::BTreeSet;

use super::super::orders;

#[test]
fn each_order_occurs_once_and_that_of_the_batch_comes_first() {
    for (count, expected) in [(0, 1), (1, 1), (2, 2), (4, 24)] {
        let orders = orders(count);
        assert_eq!(orders.len(), expected);
        assert!(orders[0].iter().copied().eq(0..count), "{:?}", orders[0]);
        let distinct: BTreeSet<_> = orders.iter().collect();
        assert_eq!(distinct.len(), expected);
    }
}
