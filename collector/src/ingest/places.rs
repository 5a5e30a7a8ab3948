//! Where sensors are: two starts of one sensor that deliver at the same time are two machines.
//!
//! A sensor that was started anew leaves its old stream behind, which ends at once or, when the network broke, once it was asked in vain
//! whether it lives. So the old one has to deliver for longer than that after the new one came. Sensors that do not say which start
//! they are of are left out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::log::Epoch;

/// For so long after another start has come, what an earlier one sent may still arrive: keepalive and its answer are 50 seconds.
const LATE: Duration = Duration::from_mins(2);

/// The starts that were heard of last, by sensor, as long as there are streams.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<Arc<str>, Arc<Newest>>>);

/// The start that was heard of last.
#[derive(Debug)]
struct Newest(Mutex<(Epoch, Instant)>);

/// One stream and the start that delivers on it.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    sensor: Arc<str>,
    live: Epoch,
    newest: Arc<Newest>,
    told: bool,
}

impl Place {
    /// A stream of a start begins.
    pub(super) fn enter(
        places: &Arc<Places>,
        sensor: &Arc<str>,
        live: Epoch,
        now: Instant,
    ) -> Self {
        let mut known = places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = known
            .entry(sensor.clone())
            .or_insert_with(|| Arc::new(Newest(Mutex::new((live, now)))))
            .clone();
        drop(known);
        let mut of = newest.0.lock().unwrap_or_else(PoisonError::into_inner);
        if of.0 != live {
            *of = (live, now);
        }
        drop(of);
        Self {
            places: places.clone(),
            sensor: sensor.clone(),
            live,
            newest,
            told: false,
        }
    }

    /// Something was delivered: answers, once, with the two starts when another one has come that does so too, the smaller first.
    pub(super) fn delivers(&mut self, now: Instant) -> Option<[Epoch; 2]> {
        let (other, since) = *self.newest.0.lock().unwrap_or_else(PoisonError::into_inner);
        let both = other != self.live && now.saturating_duration_since(since) > LATE;
        if !both || std::mem::replace(&mut self.told, true) {
            return None;
        }
        Some([self.live.min(other), self.live.max(other)])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and this one's.
        if Arc::strong_count(&self.newest) == 2 {
            known.remove(&self.sensor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_starts_are_two_places_only_when_both_go_on() {
        let places = Arc::new(Places::default());
        let (sensor, began) = (Arc::from("ws-12"), Instant::now());
        let at = |minutes| began + Duration::from_mins(minutes);
        let enter = |epoch: u8, minutes| Place::enter(&places, &sensor, [epoch; 16], at(minutes));
        let mut first = enter(9, 0);
        // An earlier epoch of the same start, and the same start after the network broke.
        let mut again = enter(9, 10);
        assert_eq!(
            (first.delivers(at(20)), again.delivers(at(20))),
            (None, None)
        );
        drop(again);
        let mut second = enter(7, 30);
        assert_eq!(
            first.delivers(at(31)),
            None,
            "what was on its way when it ended"
        );
        assert_eq!(second.delivers(at(40)), None, "it is the newest");
        assert_eq!(first.delivers(at(40)), Some([[7; 16], [9; 16]]));
        assert_eq!(first.delivers(at(41)), None, "once");
        let mut third = enter(9, 50);
        assert_eq!(second.delivers(at(60)), Some([[7; 16], [9; 16]]));
        assert_eq!(third.delivers(at(60)), None);
        let other = Place::enter(&places, &"ws-13".into(), [1; 16], at(60));
        drop((first, second, third, other));
        assert!(
            places
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty()
        );
    }
}
