//! `chartwatch show ID --svg`: the way of the records as a picture, from the store on the left to the destination on the right.
//!
//! Boxes stand in columns by the longest way from the store (Sugiyama, Tagawa, Toda 1981, in its plainest form: steps that lead back
//! are set aside for that, and boxes of a column are put in order by the middle of those before them). An arrow over several columns has a lane
//! of its own in those between, so it runs behind no box, and its label stands where no other does. The picture is plain SVG 1.1
//! without scripts or anything from elsewhere, and takes the viewer's choice of light or dark.
//!
//! **Invariant:** no two boxes overlap, nor do two labels, every box lies within the picture, and every text is escaped and bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::alerts::form::{AlertForm, PlaceForm, StepForm};
use crate::text;

const BOX: (u32, u32) = (220, 46);
/// Between columns, where the arrows run, and between boxes of one.
const GAP: (u32, u32) = (90, 22);
const MARGIN: u32 = 24;
/// Room for the title.
const HEAD: u32 = 64;
/// Height of a lane.
const LANE: u32 = 6;
/// Characters of a line in a box.
const SHOWN: usize = 26;
/// Size of a label's line, and how wide a character of it is at most.
const LABEL: (u32, u32) = (12, 7);
/// So many lines up or down a label may stand from where it belongs.
const LABEL_TRIES: u32 = 40;
/// Turns of putting columns in order.
const TURNS: usize = 6;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1b1f24}.small{font-size:11px;fill:#57606a}.head{font-size:16px;font-weight:600}\
rect{fill:#fff;stroke:#57606a;rx:6}.store rect{fill:#ddf4ff;stroke:#0969da}.destination rect{fill:#ffebe9;stroke:#cf222e}\
.carrier rect{fill:#fff8c5;stroke:#9a6700}path{fill:none;stroke:#57606a;stroke-width:1.5}.back{stroke-dasharray:4 3}\
.paper{fill:#f6f8fa;stroke:none}.label{paint-order:stroke;stroke:#f6f8fa;stroke-width:3px}marker path{fill:#57606a;stroke:none}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}rect{fill:#161b22;stroke:#9198a1}\
.store rect{fill:#0c2d6b;stroke:#58a6ff}.destination rect{fill:#67060c;stroke:#ff7b72}.carrier rect{fill:#4b2900;stroke:#d29922}\
path{stroke:#9198a1}.label{stroke:#0d1117}.paper{fill:#0d1117}marker path{fill:#9198a1}}";

/// What a box stands for; a lane of an arrow has neither class nor text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    class: &'static str,
    title: String,
    detail: String,
    /// Column, and place in it.
    at: (usize, usize),
}

/// A step between two boxes, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrow {
    from: usize,
    to: usize,
    label: String,
    /// Lanes it runs through.
    via: Vec<usize>,
    /// It leads back, so it does not count for columns.
    back: bool,
}

/// The boxes and arrows of an alert.
#[derive(Debug, Default)]
struct Picture {
    nodes: Vec<Node>,
    arrows: Vec<Arrow>,
}

/// An alert's way as a picture.
pub fn svg(alert: &AlertForm) -> String {
    let mut picture = Picture::of(alert);
    picture.set_back();
    picture.columns();
    picture.lanes();
    picture.order();
    picture.draw(alert)
}

impl Picture {
    fn of(alert: &AlertForm) -> Self {
        let mut picture = Self::default();
        let mut known = BTreeMap::new();
        for step in direct(alert).iter().chain(&alert.path) {
            let [from, to] = [&step.from, &step.to].map(|place| {
                let node = node(alert, place);
                let key = (node.class, node.title.clone(), node.detail.clone());
                *known.entry(key).or_insert_with(|| {
                    picture.nodes.push(node);
                    picture.nodes.len() - 1
                })
            });
            let label = label(step);
            picture.arrows.push(Arrow {
                from,
                to,
                label,
                via: Vec::new(),
                back: from == to,
            });
        }
        picture
    }

    /// Sets aside the arrows that lead back to a box from which they were come to.
    fn set_back(&mut self) {
        let mut done = vec![false; self.nodes.len()];
        for start in 0..self.nodes.len() {
            // Boxes on the way from the start, each with the next arrow to look at.
            let mut way = vec![(start, 0)];
            while let Some((node, next)) = way.last_mut() {
                if done[*node] {
                    way.pop();
                    continue;
                }
                let (node, from) = (*node, *next);
                let arrow =
                    (from..self.arrows.len()).find(|arrow| self.arrows[*arrow].from == node);
                let Some(arrow) = arrow else {
                    done[node] = true;
                    way.pop();
                    continue;
                };
                let to = self.arrows[arrow].to;
                let on_way = way.iter().any(|(other, _)| *other == to);
                if let Some((_, next)) = way.last_mut() {
                    *next = arrow + 1;
                }
                if on_way {
                    self.arrows[arrow].back = true;
                } else if !done[to] {
                    way.push((to, 0));
                }
            }
        }
    }

    /// Each box stands right of all from which a forward arrow leads to it.
    fn columns(&mut self) {
        for _ in 0..self.nodes.len() {
            for arrow in self.arrows.iter().filter(|arrow| !arrow.back) {
                let least = self.nodes[arrow.from].at.0 + 1;
                let column = &mut self.nodes[arrow.to].at.0;
                *column = (*column).max(least);
            }
        }
    }

    /// Gives each arrow a lane in the columns that it only passes.
    fn lanes(&mut self) {
        for arrow in self.arrows.iter_mut().filter(|arrow| !arrow.back) {
            let (from, to) = (self.nodes[arrow.from].at.0, self.nodes[arrow.to].at.0);
            for column in from + 1..to {
                arrow.via.push(self.nodes.len());
                self.nodes.push(Node {
                    at: (column, 0),
                    ..Node::default()
                });
            }
        }
    }

    /// Puts the boxes of each column in the order of the middle of what leads to them, and from them, in turns.
    fn order(&mut self) {
        let last = self.nodes.iter().map(|node| node.at.0).max().unwrap_or(0);
        for column in 0..=last {
            self.place(column, |_, number| number as f64);
        }
        for turn in 0..TURNS {
            let forward = turn % 2 == 0;
            for step in 0..=last {
                let column = if forward { step } else { last - step };
                self.place(column, |picture, number| picture.middle(number, forward));
            }
        }
    }

    /// Numbers the boxes of a column by a key, those that are equal as they were.
    fn place(&mut self, column: usize, key: impl Fn(&Self, usize) -> f64) {
        let mut of_column: Vec<(f64, usize, usize)> = (0..self.nodes.len())
            .filter(|number| self.nodes[*number].at.0 == column)
            .map(|number| (key(self, number), self.nodes[number].at.1, number))
            .collect();
        of_column.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        for (place, (_, _, number)) in of_column.into_iter().enumerate() {
            self.nodes[number].at.1 = place;
        }
    }

    /// Middle of the places of the boxes before a box, or behind it.
    fn middle(&self, number: usize, forward: bool) -> f64 {
        let forward_arrows = self.arrows.iter().filter(|arrow| !arrow.back);
        let steps = forward_arrows.flat_map(Arrow::steps);
        let others = steps.filter_map(|(from, to)| {
            let (own, other) = if forward { (to, from) } else { (from, to) };
            (own == number).then(|| self.nodes[other].at.1 as f64)
        });
        let (sum, count) =
            others.fold((0.0, 0.0), |(sum, count), place| (sum + place, count + 1.0));
        if count > 0.0 {
            sum / count
        } else {
            self.nodes[number].at.1 as f64
        }
    }

    /// Upper left corners of all boxes and lanes; columns stand around a middle line.
    fn corners(&self) -> Vec<(u32, u32)> {
        let last = self.nodes.iter().map(|node| node.at.0).max().unwrap_or(0);
        let columns: Vec<Vec<usize>> = (0..=last)
            .map(|column| {
                let of_column = (0..self.nodes.len()).filter(|n| self.nodes[*n].at.0 == column);
                let mut of_column: Vec<usize> = of_column.collect();
                of_column.sort_by_key(|number| self.nodes[*number].at.1);
                of_column
            })
            .collect();
        let room = |number: &usize| self.nodes[*number].height() + GAP.1;
        let heights: Vec<u32> = columns
            .iter()
            .map(|column| column.iter().map(room).sum())
            .collect();
        let most = heights.iter().copied().max().unwrap_or(0);
        let mut corners = vec![(0, 0); self.nodes.len()];
        for (number, (column, height)) in columns.iter().zip(heights).enumerate() {
            let x = MARGIN + number as u32 * (BOX.0 + GAP.0);
            let mut y = HEAD + MARGIN + (most - height) / 2;
            for node in column {
                corners[*node] = (x, y);
                y += room(node);
            }
        }
        corners
    }

    fn draw(&self, alert: &AlertForm) -> String {
        let corners = self.corners();
        let right = corners
            .iter()
            .map(|corner| corner.0 + BOX.0)
            .max()
            .unwrap_or(BOX.0);
        let below = corners
            .iter()
            .map(|corner| corner.1 + BOX.1)
            .max()
            .unwrap_or(HEAD);
        let (width, height) = (right.max(480) + MARGIN, below + MARGIN);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <style>{STYLE}</style>\n<defs><marker id=\"end\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
        );
        let head = format!(
            "{}: records of {} leave {}",
            alert.pattern, alert.store, alert.host
        );
        let more = if alert.path_more > 0 {
            format!(
                ", {} more steps are not shown",
                text::number(alert.path_more)
            )
        } else {
            String::new()
        };
        let line = format!("alert {}, {}{more}", alert.id, text::time(alert.last_ns));
        let _ok = writeln!(
            out,
            "<text class=\"head\" x=\"{MARGIN}\" y=\"34\">{}</text>",
            escaped(&head, 90)
        );
        let _ok = writeln!(
            out,
            "<text class=\"small\" x=\"{MARGIN}\" y=\"54\">{}</text>",
            escaped(&line, 120)
        );
        for arrow in &self.arrows {
            draw_arrow(&mut out, arrow, &corners);
        }
        for (node, corner) in self.nodes.iter().zip(&corners) {
            if !node.is_lane() {
                draw_box(&mut out, node, *corner);
            }
        }
        self.draw_labels(&mut out, &corners);
        out.push_str("</svg>\n");
        out
    }
}

impl Picture {
    /// Each label at the end of its arrow where fewer others are, as near as there is room.
    fn draw_labels(&self, out: &mut String, corners: &[(u32, u32)]) {
        let mut placed: Vec<(u32, u32, u32)> = Vec::new();
        let count = |of: &dyn Fn(&Arrow) -> bool| self.arrows.iter().filter(|one| of(one)).count();
        for arrow in &self.arrows {
            let (from, to) = (corners[arrow.from], corners[arrow.to]);
            let label = escaped(&arrow.label, 16);
            let wide = arrow.label.chars().count().min(16) as u32 * LABEL.1;
            let start = (from.0 + BOX.0 + 6, from.1 + BOX.1 / 2 - 4);
            let end = (to.0.saturating_sub(12 + wide), to.1 + BOX.1 / 2 - 5);
            let crowded = count(&|one| one.from == arrow.from) > count(&|one| one.to == arrow.to);
            let wanted = if crowded { end } else { start };
            let free = |(x, y): (u32, u32)| {
                let apart = |(left, top, other): &(u32, u32, u32)| {
                    x + wide <= *left || left + other <= x || y.abs_diff(*top) >= LABEL.0
                };
                placed.iter().all(apart)
            };
            let tries = (0..LABEL_TRIES).flat_map(|lines| {
                let by = lines * LABEL.0;
                [wanted.1.checked_sub(by), Some(wanted.1 + by)]
            });
            let mut tries = tries.flatten().map(|y| (wanted.0, y.max(HEAD)));
            let Some((x, y)) = tries.find(|place| free(*place)) else {
                continue;
            };
            placed.push((x, y, wide));
            let _ok = writeln!(
                out,
                "<text class=\"small label\" x=\"{x}\" y=\"{y}\">{label}</text>"
            );
        }
    }
}

impl Node {
    fn is_lane(&self) -> bool {
        self.class.is_empty()
    }

    fn height(&self) -> u32 {
        if self.is_lane() { LANE } else { BOX.1 }
    }
}

impl Arrow {
    /// From box to lane to box, by their numbers.
    fn steps(&self) -> impl Iterator<Item = (usize, usize)> {
        let stops: Vec<usize> = std::iter::once(self.from)
            .chain(self.via.iter().copied())
            .chain([self.to])
            .collect();
        let next = stops.clone().into_iter().skip(1);
        stops.into_iter().zip(next)
    }
}

fn draw_arrow(out: &mut String, arrow: &Arrow, corners: &[(u32, u32)]) {
    let middle = |number: usize| {
        let height = if arrow.via.contains(&number) {
            LANE
        } else {
            BOX.1
        };
        corners[number].1 + height / 2
    };
    let bend = GAP.0 * 2 / 3;
    let mut way = format!("M{} {}", corners[arrow.from].0 + BOX.0, middle(arrow.from));
    for (from, to) in arrow.steps() {
        let (x, y) = (corners[from].0 + BOX.0, middle(from));
        let (to_x, to_y) = (corners[to].0, middle(to));
        let (out_x, in_x) = (x + bend, to_x.saturating_sub(bend));
        let _ok = write!(way, "C{out_x} {y} {in_x} {to_y} {to_x} {to_y}");
        if to != arrow.to {
            let _ok = write!(way, "H{}", to_x + BOX.0);
        }
    }
    let class = if arrow.back { " class=\"back\"" } else { "" };
    let label = escaped(&arrow.label, 16);
    let _ok = writeln!(
        out,
        "<path{class} marker-end=\"url(#end)\" d=\"{way}\"><title>{label}</title></path>",
    );
}

fn draw_box(out: &mut String, node: &Node, (x, y): (u32, u32)) {
    let _ok = writeln!(
        out,
        "<g class=\"{}\"><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>\
         <text class=\"small\" x=\"{}\" y=\"{}\">{}</text><title>{} {}</title></g>",
        node.class,
        BOX.0,
        BOX.1,
        x + 10,
        y + 20,
        escaped(&node.title, SHOWN),
        x + 10,
        y + 37,
        escaped(&node.detail, SHOWN + 4),
        escaped(&node.title, 400),
        escaped(&node.detail, 400),
    );
}

/// The steps of an alert without a path: one process read and sent.
fn direct(alert: &AlertForm) -> Vec<StepForm> {
    let Some(sender) = alert.chain.first().filter(|_| alert.path.is_empty()) else {
        return Vec::new();
    };
    let place = |kind: &str| PlaceForm {
        kind: kind.to_owned(),
        ..PlaceForm::default()
    };
    let process = PlaceForm {
        pid: Some(sender.pid),
        start_cs: Some(sender.start_cs),
        ..place("process")
    };
    let step = |from: &PlaceForm, to: &PlaceForm, way: &str, bytes| StepForm {
        from: from.clone(),
        to: to.clone(),
        way: way.to_owned(),
        bytes: Some(bytes),
        first_ns: alert.first_ns,
        last_ns: alert.last_ns,
    };
    let read = alert.bytes_read.saturating_add(alert.bytes_mapped);
    let mut steps = vec![step(&place("store"), &process, "read", read)];
    if alert.destination.is_some() {
        steps.push(step(
            &process,
            &place("destination"),
            "sent",
            alert.bytes_sent,
        ));
    }
    steps
}

fn node(alert: &AlertForm, place: &PlaceForm) -> Node {
    let (class, title, detail) = match place.kind.as_str() {
        "store" => {
            let records = text::count(alert.distinct_records, "record");
            ("store", format!("store {}", alert.store), records)
        }
        "destination" => {
            let to = alert.destination.as_ref();
            let end = to.map_or_else(String::new, |to| super::endpoint(&to.address, to.port));
            let name = to.and_then(|to| to.name.clone()).unwrap_or_default();
            ("destination", end, name)
        }
        "process" => process(alert, place),
        // Without a name; the number tells it from others.
        kind @ ("memory" | "pipe") if place.path.is_none() => {
            let inode = place
                .inode
                .map_or_else(String::new, |inode| inode.to_string());
            let title = if kind == "memory" {
                "shared memory"
            } else {
                "pipe"
            };
            ("carrier", title.to_owned(), inode)
        }
        kind => {
            let path = place.path.as_deref().unwrap_or("place not seen");
            let name = path.rsplit('/').next().unwrap_or(path);
            let inode = place
                .inode
                .map_or_else(String::new, |inode| format!("{kind} {inode}"));
            ("carrier", name.to_owned(), inode)
        }
    };
    Node {
        class,
        title,
        detail,
        at: (0, 0),
    }
}

fn process(alert: &AlertForm, place: &PlaceForm) -> (&'static str, String, String) {
    let of = |link: &&crate::alerts::form::ProcessForm| {
        (Some(link.pid), Some(link.start_cs)) == (place.pid, place.start_cs)
    };
    let link = alert.chain.iter().chain(&alert.path_processes).find(of);
    let executable = link.map_or("", |link| link.executable.as_str());
    let name = executable.rsplit('/').next().unwrap_or_default();
    let name = if name.is_empty() { "(not known)" } else { name };
    let user = link.map_or("", |link| link.user.as_str());
    let detail = format!("pid {} {user}", place.pid.unwrap_or_default());
    ("process", name.to_owned(), detail.trim_end().to_owned())
}

fn label(step: &StepForm) -> String {
    match step.bytes {
        Some(bytes) => text::bytes(bytes),
        None => step.way.clone(),
    }
}

/// Safe on a terminal and in XML, and no longer than so many characters.
fn escaped(untrusted: &str, most: usize) -> String {
    let clean = text::clean(untrusted);
    let long = clean.chars().count() > most;
    let mut out = String::new();
    for c in clean.chars().take(if long { most - 1 } else { most }) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    if long {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sink::ocsf::tests::alert;

    fn place(kind: &str, number: u32) -> PlaceForm {
        PlaceForm {
            kind: kind.to_owned(),
            pid: (kind == "process").then_some(number),
            start_cs: (kind == "process").then_some(1),
            inode: (kind == "file").then_some(u64::from(number)),
            path: (kind == "file").then(|| format!("/tmp/part-<{number}>&\u{1b}[2J")),
            ..PlaceForm::default()
        }
    }

    fn step(from: PlaceForm, to: PlaceForm) -> StepForm {
        StepForm {
            from,
            to,
            way: "write".into(),
            bytes: Some(4_096),
            first_ns: 0,
            last_ns: 1,
        }
    }

    /// Readers that write files of their own, which packers read and hand to senders; and one that leads back.
    fn wide() -> AlertForm {
        let mut form = AlertForm::from(&alert());
        form.path = (0..14)
            .flat_map(|n| {
                let (reader, file) = (place("process", 100 + n), place("file", n));
                let (packer, sender) = (place("process", 200 + n), place("process", 300 + n % 7));
                [
                    step(place("store", 0), reader.clone()),
                    step(reader, file.clone()),
                    step(file.clone(), packer.clone()),
                    step(packer.clone(), place("file", 900 + n)),
                    step(packer.clone(), sender.clone()),
                    step(sender.clone(), place("destination", 0)),
                    step(sender, packer),
                ]
            })
            .collect();
        form
    }

    /// `name="NUMBER"` of an element, as a number.
    fn number(element: roxmltree::Node<'_, '_>, name: &str) -> f64 {
        element.attribute(name).unwrap().parse().unwrap()
    }

    #[test]
    fn sixty_boxes_lie_apart_and_within_the_picture() {
        let text = svg(&wide());
        let document = roxmltree::Document::parse(&text).unwrap();
        let root = document.root_element();
        let (width, height) = (number(root, "width"), number(root, "height"));
        let boxes: Vec<[f64; 4]> = document
            .descendants()
            .filter(|element| element.has_tag_name("rect") && element.attribute("class").is_none())
            .map(|element| ["x", "y", "width", "height"].map(|name| number(element, name)))
            .collect();
        assert!(boxes.len() >= 60, "{}", boxes.len());
        for (index, [x, y, w, h]) in boxes.iter().enumerate() {
            assert!(*x >= 0.0 && x + w <= width && *y >= 0.0 && y + h <= height);
            for [other_x, other_y, ..] in &boxes[index + 1..] {
                let apart = (x - other_x).abs() >= *w || (y - other_y).abs() >= *h;
                assert!(apart, "boxes at {x},{y} and {other_x},{other_y} overlap");
            }
        }
    }

    /// Where a label lies: left, right, and the line.
    fn labels(text: &str) -> Vec<(f64, f64, f64)> {
        let document = roxmltree::Document::parse(text).unwrap();
        let labels = document
            .descendants()
            .filter(|one| one.attribute("class") == Some("small label"));
        labels
            .map(|one| {
                let wide = one.text().unwrap().chars().count() as f64 * f64::from(LABEL.1);
                (number(one, "x"), number(one, "x") + wide, number(one, "y"))
            })
            .collect()
    }

    #[test]
    fn labels_lie_apart_and_long_arrows_have_lanes() {
        let mut form = wide();
        // Straight from the store to the senders, past all others.
        form.path
            .extend((0..7).map(|n| step(place("store", 0), place("process", 300 + n))));
        let labels = labels(&svg(&form));
        assert!(labels.len() > 70, "{}", labels.len());
        for (index, (left, right, line)) in labels.iter().enumerate() {
            for (other_left, other_right, other_line) in &labels[index + 1..] {
                let apart = right <= other_left || other_right <= left;
                assert!(apart || (line - other_line).abs() >= 11.0, "{left},{line}");
            }
        }
        let mut picture = Picture::of(&form);
        picture.set_back();
        picture.columns();
        picture.lanes();
        picture.order();
        let corners = picture.corners();
        let long = picture.arrows.iter().filter(|arrow| !arrow.via.is_empty());
        assert!(long.clone().count() >= 7);
        for lane in long.flat_map(|arrow| &arrow.via) {
            let (x, y) = corners[*lane];
            let hits = |(number, corner): (usize, &(u32, u32))| {
                number != *lane
                    && corner.0 == x
                    && y >= corner.1
                    && y <= corner.1 + picture.nodes[number].height()
            };
            assert!(!corners.iter().enumerate().any(hits), "a lane behind a box");
        }
    }

    #[test]
    fn what_leads_back_is_drawn_and_the_columns_go_on() {
        let mut picture = Picture::of(&wide());
        picture.set_back();
        picture.columns();
        let back = picture.arrows.iter().filter(|arrow| arrow.back).count();
        assert!(back > 0 && back < picture.arrows.len() / 3, "{back}");
        for arrow in picture.arrows.iter().filter(|arrow| !arrow.back) {
            assert!(picture.nodes[arrow.from].at.0 < picture.nodes[arrow.to].at.0);
        }
    }

    #[test]
    fn hostile_names_stay_names() {
        let mut form = wide();
        form.store = "</text><script>alert(1)</script>".into();
        let text = svg(&form);
        assert!(!text.contains("<script") && !text.contains('\u{1b}'));
        roxmltree::Document::parse(&text).unwrap();
        assert!(escaped(&"x".repeat(1_000), 30).chars().count() == 30);
    }

    #[test]
    fn one_process_that_reads_and_sends_is_three_boxes() {
        let form = AlertForm::from(&alert());
        assert!(form.path.is_empty());
        let picture = Picture::of(&form);
        assert_eq!((picture.nodes.len(), picture.arrows.len()), (3, 2));
    }
}
