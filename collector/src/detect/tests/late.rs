//! What is old and comes after what is new, as far as nothing was forgotten meanwhile: the same alert in the end. Each epoch of a
//! sensor says who its processes are before it refers to them.

use super::*;

/// An hour later somebody else sends something.
fn later() -> Vec<Event> {
    vec![sent_by(3_600, 99_000, |flow| {
        flow.id = 78;
        flow.process = SHELL;
        flow.opened_ns = at(3_599);
    })]
}

/// All orders of some blocks.
fn orders(blocks: &[Vec<Event>]) -> Vec<Vec<Vec<Event>>> {
    if blocks.is_empty() {
        return vec![Vec::new()];
    }
    (0..blocks.len())
        .flat_map(|first| {
            let mut rest = blocks.to_vec();
            let first = rest.remove(first);
            let with = move |mut order: Vec<Vec<Event>>| {
                order.insert(0, first.clone());
                order
            };
            orders(&rest).into_iter().map(with)
        })
        .collect()
}

#[test]
fn the_order_in_which_blocks_come_does_not_change_what_an_alert_says_in_the_end() {
    let blocks = [
        [family(), vec![read(2, 1, 100_000)]].concat(),
        [family(), vec![read(3, 2, 50_000)]].concat(),
        [family(), vec![sent(4, 150_300, true)]].concat(),
        later(),
    ];
    let mut ends = Vec::new();
    for order in orders(&blocks) {
        let alerts = detect(config(), &order);
        let last = alerts.last().unwrap();
        assert!(alerts.iter().all(|alert| alert.id == last.id));
        // What only says when it was told is left out; names are those of the records that came first.
        let mut names = last.names.clone();
        names.sort_by(|a, b| a.text.cmp(&b.text));
        ends.push(Alert {
            names,
            revision: 0,
            raised_ns: 0,
            revised_ns: 0,
            ..last.clone()
        });
    }
    assert_eq!(ends.len(), 24);
    for (n, end) in ends.iter().enumerate() {
        assert_eq!(*end, ends[0], "order {n}");
    }
}
