//! The sensor's own account: which backend runs, and that nothing is missing from the books.

use libtest_mimic::Failed;
use sensor_user::load::hooks;

use crate::watch::{Watch, same};

/// The backend asked for has sung its canary and is the one in use.
pub(crate) fn backend(watch: &mut Watch) -> Result<(), Failed> {
    let health = watch.health();
    same("backend", &health.backend, &watch.backend)?;
    same("kernel is named", &health.kernel.is_empty(), &false)
}

/// After all that was done: every hook's books balance, every hook has run, nothing was dropped and no gap was said. A
/// kernel that preempts everything leaves out runs of programs; there, nothing else is lost, and all of that is said.
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
            &runs(watch, &hook.hook),
        )?;
    }
    // Which hook it was that failed.
    let failed: Vec<_> = (watch.health().hooks.into_iter())
        .filter(|hook| hook.failed > 0)
        .map(|hook| (hook.hook, hook.failed))
        .collect();
    same("failed", &failed, &Vec::new())?;
    same("what was lost", &watch.lost, &Vec::new())?;
    if !preempts() {
        same("left out by the kernel", &watch.left_out, &0)?;
    }
    watch.until("a gap for each lost event", |w| {
        w.health().lost_events == w.left_out
    })
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

/// Whether a hook runs in these tests: nothing here uses an `io_uring`, and where the sensor is blind to who sends, there
/// is nothing to run.
fn runs(watch: &Watch, hook: &str) -> bool {
    match hook {
        "ring" => false,
        "send" => !watch.is_blind_to(hooks::SENT),
        "receive" => !watch.is_blind_to(hooks::RECEIVED),
        _ => true,
    }
}

/// True for a kernel that preempts everything, as with `PREEMPT_RT`, and since Linux 7.0 always (kernel/Kconfig.preempt).
/// While a program is preempted, its next runs on that CPU are left out (`recursion_misses`).
fn preempts() -> bool {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let series = release.split('.').next().and_then(|n| n.parse().ok());
    series.is_some_and(|n: u32| n >= 7) || system.version().to_string_lossy().contains("PREEMPT_RT")
}
