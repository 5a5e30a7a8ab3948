//! By which techniques records went along a path: what each pattern that is a part of this one sees in it, in one list.

use crate::detect::alert::{Link, Path, Place, Technique};
use crate::detect::pattern::leaving::SCHEDULED;
use crate::detect::pattern::{media, staging, tunnel};
use crate::event::{Carrier, Process};

/// Programs that start others at a time of day.
const SCHEDULERS: [&str; 5] = ["cron", "crond", "anacron", "atd", "fcron"];

/// All of them, the way out last.
pub(super) fn techniques(
    path: &Path,
    chain: &[Link],
    collected: Technique,
    leaving: Vec<Technique>,
) -> Vec<Technique> {
    let to_carriers = path.steps.iter().filter_map(|step| match &step.to {
        Place::Carrier(carrier) => Some(carrier),
        Place::Process(_) | Place::Store | Place::Destination => None,
    });
    let carriers: Vec<&Carrier> = to_carriers.collect();
    let on_path = |link: &&Link| {
        let from = Place::Process(link.key);
        path.steps.iter().any(|step| step.from == from)
    };
    let links = path.processes.iter().chain(chain).filter(on_path);
    let processes: Vec<&Process> = links.filter_map(|link| link.process.as_ref()).collect();
    let mut ancestors = chain
        .iter()
        .skip(1)
        .filter_map(|link| link.process.as_ref());
    let scheduled = ancestors.any(|one| SCHEDULERS.contains(&one.program()));
    let mut techniques = vec![collected];
    techniques.extend(staging::techniques(&carriers, &processes));
    techniques.extend(media::carried(&carriers).filter(|one| !leaving.contains(one)));
    techniques.extend(staging::cut(&processes));
    techniques.extend(scheduled.then_some(SCHEDULED));
    techniques.extend(tunnel::techniques(path, &processes));
    techniques.extend(leaving);
    techniques
}
