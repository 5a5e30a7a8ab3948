//! The sensor's own account: which backend runs, and that nothing is missing from the books.

use libtest_mimic::Failed;
use sensor_user::event::{GapReason, What};

use crate::watch::{Watch, same};

/// The backend asked for has sung its canary and is the one in use.
pub(crate) fn backend(watch: &mut Watch) -> Result<(), Failed> {
    let health = watch.health();
    same("backend", &health.backend, &watch.backend)?;
    same("kernel is named", &health.kernel.is_empty(), &false)
}

/// After all that was done: every hook's books balance, every hook has run, nothing was dropped and no gap was said.
pub(crate) fn balance(watch: &mut Watch) -> Result<(), Failed> {
    // What is new is told every few seconds, and this is after the last test.
    let before = watch.health();
    watch.until("a new look at the books", |w| w.health() != before)?;
    for hook in watch.health().hooks {
        let sum = hook.reported + hook.summed + hook.ignored + hook.failed + hook.dropped;
        same(&format!("sum of {hook:?}"), &sum, &hook.seen)?;
        same(&format!("dropped of {hook:?}"), &hook.dropped, &0)?;
        same(
            &format!("{hook:?} has run"),
            &(hook.seen > 0),
            &runs(&hook.hook),
        )?;
    }
    let gaps = watch.events.iter().filter_map(|e| match &e.what {
        What::Gap(gap) if gap.reason != GapReason::Skipped => Some(gap),
        _ => None,
    });
    same("gaps", &gaps.collect::<Vec<_>>(), &Vec::new())?;
    let lost = watch.health().lost_events;
    if is_preempted() {
        eprintln!("{lost} runs of programs were left out, each of them in a gap");
        same("lost events, and runs left out", &lost, &watch.left_out)
    } else {
        same("lost events", &lost, &0)
    }
}

/// Whether this kernel lets one process preempt another in the middle of a program. The next runs of that program on that CPU
/// are then left out (kernel/bpf/trampoline.c, `prog->active`).
fn is_preempted() -> bool {
    let system = rustix::system::uname();
    system.version().to_string_lossy().contains("PREEMPT_RT")
}

/// The canary sings every five seconds in these tests, and neither an access nor a flow of it is reported; were one of
/// its songs not heard, there would be a gap.
pub(crate) fn canary(watch: &mut Watch) -> Result<(), Failed> {
    let opens = |w: &Watch| {
        w.health()
            .hooks
            .iter()
            .find(|h| h.hook == "flow")
            .map_or(0, |h| h.reported)
    };
    let before = opens(watch);
    watch.until("the canary's flow in the books", |w| opens(w) >= before + 4)?;
    let own = std::process::id();
    same("accesses of the sensor", &watch.accesses(own).count(), &0)?;
    same("flows of the sensor", &watch.flows(own).len(), &0)
}

/// Whether a hook runs in these tests: nothing here uses an `io_uring`.
fn runs(hook: &str) -> bool {
    hook != "ring"
}
