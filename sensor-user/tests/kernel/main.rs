//! The kernel programs on a real kernel: real programs touch real files and talk to real sockets, and what comes up must
//! be exact.
//!
//! Needs root, a kernel with BTF, and `CHARTWATCH_BACKEND` (`lsm`, `fentry`, `tracepoint`), which names the backend that
//! has to work. Without them every test is reported as ignored. The tests share one sensor and run one after another; the
//! last one checks that the books balance after all that the others did.
//!
//! Kernel: 6.1 and newer; run on this machine's own by `cargo xtask test`, on others by `cargo xtask vm`.

mod actor;
mod acts;
mod books;
mod files;
mod flows;
mod hands;
mod memory;
mod processes;
mod pty;
mod restart;
mod services;
mod shares;
mod tamper;
mod watch;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};

use watch::Watch;

/// A test: it gets the one sensor there is.
type Test = fn(&mut Watch) -> Result<(), Failed>;

/// All tests in the order they run.
const TESTS: &[(&str, Test)] = &[
    ("backend_is_the_one_asked_for", books::backend),
    ("processes_exec_with_arguments", processes::exec),
    (
        "processes_long_arguments_are_cut_and_say_so",
        processes::long_arguments,
    ),
    ("processes_fork_and_exit", processes::fork_and_exit),
    ("files_cat_of_2000", files::cat),
    ("files_tar_of_2000", files::tar),
    ("files_cp_of_2000", files::cp),
    ("files_mmap_of_2000", files::mmap),
    ("files_readv_and_pread", files::vectors),
    ("files_sendfile_to_a_socket", files::sendfile),
    ("files_written", files::written),
    ("files_read_by_threads_at_once", files::by_threads),
    ("files_outside_are_nobodys_business", files::outside),
    ("files_renamed_into_and_out_of_the_store", files::renamed),
    ("files_changed_and_removed", files::changed),
    ("files_hard_linked_out_of_the_store", files::hard_linked),
    ("files_have_names_below_their_store", files::named),
    ("flows_tcp_upload_over_ipv4", flows::upload4),
    ("flows_tcp_upload_over_ipv6", flows::upload6),
    ("flows_tcp_served_on_an_accepted_connection", flows::served),
    ("flows_tcp_copy_read_and_sent_by_one_call", flows::sent_copy),
    ("flows_tcp_opened_before_the_record", flows::opened_before),
    ("flows_tcp_long_one_is_told_on_the_tick", flows::long),
    ("flows_udp_send_over_ipv4", flows::datagrams4),
    ("flows_udp_send_over_ipv6", flows::datagrams6),
    (
        "flows_without_records_are_nobodys_business",
        flows::without_records,
    ),
    ("flows_of_the_sensor_are_its_own", flows::own),
    ("memory_read_by_another_process", memory::through_proc),
    (
        "memory_without_records_is_nobodys_business",
        memory::without_records,
    ),
    ("hands_pipeline_is_exact", hands::pipeline),
    ("hands_moved_into_files_is_exact", hands::moved),
    ("hands_service_gives_records", services::given),
    ("services_installed_and_replaced_later", services::replaced),
    ("services_of_a_unit_over_its_restart", services::unit),
    ("services_that_run_before_the_sensor", services::before),
    ("restart_of_the_sensor_forgets_nobody", restart::remembered),
    ("hands_datagrams_within_the_host", hands::datagrams),
    ("hands_datagrams_of_quiet_ports_are_none", hands::quiet_port),
    ("hands_terminal_shows_a_record", hands::shown),
    ("hands_terminal_is_typed_a_record", hands::typed),
    ("hands_two_stores_are_both_carried", hands::two_stores),
    ("shares_memory_mapped_before_the_record", shares::before),
    ("shares_file_mapped_before_the_record", shares::file_before),
    ("shares_segment_of_system_v", shares::system_v),
    ("shares_of_quiet_programs_are_none", shares::quiet),
    ("tamper_signal_is_told", tamper::signalled),
    ("tamper_trace_is_told", tamper::traced),
    ("tamper_bpf_objects_taken_are_told", tamper::taken),
    ("tamper_files_edited_are_told", tamper::edited),
    ("tamper_spool_edited_is_told", tamper::spool_edited),
    ("tamper_harmless_is_none", tamper::harmless),
    ("tamper_guard_refuses", tamper::guarded),
    ("canary_sings_and_is_heard", books::canary),
    ("books_balance", books::balance),
];

fn main() -> ExitCode {
    if let Some(code) = actor::act(acts::perform) {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let backend = std::env::var("CHARTWATCH_BACKEND").ok();
    let missing = watch::missing(backend.as_deref());
    if let (Some(reason), false) = (&missing, arguments.list) {
        eprintln!("skipped: all kernel tests: {reason}");
    }
    let sensor: Arc<Mutex<Option<Watch>>> = Arc::default();
    let trials = TESTS.iter().map(|(name, test)| {
        let (sensor, backend, test) = (Arc::clone(&sensor), backend.clone(), *test);
        Trial::test(*name, move || run(&sensor, backend.as_deref(), test))
            .with_ignored_flag(missing.is_some())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(sensor.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

fn run(sensor: &Mutex<Option<Watch>>, backend: Option<&str>, test: Test) -> Result<(), Failed> {
    let mut sensor = sensor.lock().unwrap_or_else(PoisonError::into_inner);
    let watch = if let Some(watch) = sensor.take() {
        watch
    } else {
        let home = tempfile::tempdir()?;
        std::fs::create_dir(home.path().join("store"))?;
        for program in [watch::SERVICE, watch::QUIET] {
            std::fs::copy(std::env::current_exe()?, home.path().join(program))?;
        }
        Watch::start(
            backend.unwrap_or_default(),
            home,
            &["store", watch::SERVICE, watch::VERSIONS, watch::UNIT],
        )?
    };
    let watch = sensor.insert(watch);
    watch.forget();
    test(watch)
}
