//! What is measured, one after the other, and what must be true at the end.

use std::path::Path;
use std::time::{Duration, Instant};

use collector::alerts::AlertReader;
use collector::log::LogReader;
use tokio::time::sleep;

use crate::crowd::Crowd;
use crate::daemon::Daemon;
use crate::meter::quantile_ms;
use crate::sensor::Work;
use crate::{Cli, Outcome, identities, say};

/// A figure: its name, value and unit.
pub(crate) type Row = (&'static str, f64, &'static str);

/// How long a load runs at least before it is looked at.
const WARM_UP: Duration = Duration::from_secs(4);
/// How long connections may settle before their memory is looked at.
const SETTLE: Duration = Duration::from_secs(8);
/// Batches of a sensor under way at full load.
const UNDER_WAY: usize = 2;
/// Events of a batch of a sensor that sends what happened in a fifth of a second, where little happens.
const TICK_EVENTS: u64 = 4;
/// What a sensor that floods sends: the largest batches the real one makes, as many as the connection takes.
const FLOOD: Work = Work::Full {
    events: 1_000,
    under_way: 64,
};

/// Everything.
pub(crate) async fn measure(cli: &Cli) -> Outcome<Vec<Row>> {
    let mut bench = Bench::new(cli).await?;
    bench.connect().await?;
    bench.idle().await?;
    bench.restart().await?;
    let full = bench.full().await?;
    bench.ticks().await?;
    bench.half(full / 2.0).await?;
    bench.flood(full / 2.0).await?;
    bench.restart_with_log().await?;
    bench.end().await
}

struct Bench {
    cli: Cli,
    daemon: Daemon,
    crowd: Crowd,
    /// The sensor that will flood; idle until then.
    flooder: Crowd,
    rows: Vec<Row>,
}

/// What a load came to.
struct Load {
    events_per_s: f64,
    batches_per_s: f64,
    /// Of one CPU.
    cpu_percent: f64,
    /// Sorted.
    times_us: Vec<u32>,
}

impl Bench {
    async fn new(cli: &Cli) -> Outcome<Self> {
        let data = cli.directory.join("data");
        let daemon = Daemon::start(&cli.collector, &cli.directory).await?;
        say("certifying the sensors", false);
        let mut all = identities::make(&data, cli.sensors + 1)?;
        let flooder = all.pop().into_iter().collect();
        let load = std::fs::read_to_string("/proc/loadavg")?;
        let runnable: f64 = load.split_whitespace().next().unwrap_or_default().parse()?;
        let cpus = std::thread::available_parallelism()?.get() as f64;
        let rows = vec![
            ("machine_cpus", cpus, "CPUs"),
            ("machine_load_before", runnable, "runnable tasks, 1 min"),
            ("sensors", cli.sensors as f64, "sensors"),
            ("events_per_batch", cli.events as f64, "events"),
        ];
        let address = daemon.address;
        Ok(Self {
            crowd: Crowd::start(all, 0, address, true)?,
            flooder: Crowd::start(flooder, cli.sensors, address, false)?,
            cli: cli.clone(),
            daemon,
            rows,
        })
    }

    fn row(&mut self, metric: &'static str, value: f64, unit: &'static str) {
        let value = (value * 100.0).round() / 100.0;
        say(&format!("{metric}: {value} {unit}"), true);
        self.rows.push((metric, value, unit));
    }

    async fn all_connected(&self) -> Outcome<()> {
        self.crowd.connected().await?;
        self.flooder.connected().await
    }

    /// All sensors come at once.
    async fn connect(&mut self) -> Outcome<()> {
        let began = Instant::now();
        self.all_connected().await?;
        self.row("connect_all", began.elapsed().as_secs_f64(), "s");
        self.failures();
        Ok(())
    }

    /// They are there and say nothing but that.
    async fn idle(&mut self) -> Outcome<()> {
        say("all sensors idle", false);
        sleep(SETTLE).await;
        let load = self.look().await?;
        let memory = self.daemon.memory_mb("VmRSS")?;
        self.row("idle_memory", memory, "MB");
        let each = memory * 1e3 / self.cli.sensors as f64;
        self.row("idle_memory_per_sensor", each, "kB");
        self.row("idle_cpu", load.cpu_percent, "% of one CPU");
        Ok(())
    }

    /// The collector is restarted, and they come back.
    async fn restart(&mut self) -> Outcome<()> {
        let (down, back) = self.restarted().await?;
        let cpu = self.daemon.cpu()?.as_secs_f64();
        self.row("restart_down", down.as_secs_f64(), "s");
        self.row("restart_all_back", back.as_secs_f64(), "s");
        let each = cpu * 1e3 / self.cli.sensors as f64;
        self.row("restart_cpu_per_sensor", each, "ms");
        self.failures();
        Ok(())
    }

    /// The same when there is a log to be read back.
    async fn restart_with_log(&mut self) -> Outcome<()> {
        let (down, back) = self.restarted().await?;
        self.row("restart_with_log_down", down.as_secs_f64(), "s");
        self.row("restart_with_log_all_back", back.as_secs_f64(), "s");
        self.failures();
        Ok(())
    }

    /// How long the collector was not there, and how long it took from its end until all sensors were back.
    async fn restarted(&mut self) -> Outcome<(Duration, Duration)> {
        say("restarting the collector", false);
        let began = Instant::now();
        self.daemon.restart().await?;
        let down = began.elapsed();
        self.all_connected().await?;
        Ok((down, began.elapsed()))
    }

    /// As much as goes.
    async fn full(&mut self) -> Outcome<f64> {
        let (events, under_way) = (self.cli.events, UNDER_WAY);
        let load = self.loaded(Work::Full { events, under_way }).await?;
        self.row("full_events", load.events_per_s, "events/s");
        self.row("full_cpu", load.cpu_percent, "% of one CPU");
        // What other work on the machine disturbs least.
        let each = load.cpu_percent * 1e4 / load.events_per_s.max(1.0);
        self.row("full_cpu_per_event", each, "us");
        let [bytes, sent] = self.crowd.meter.bytes_per_event();
        self.row("bytes_per_event", bytes, "bytes");
        self.row("bytes_per_event_compressed", sent, "bytes");
        let peak = self.daemon.memory_mb("VmHWM")?;
        self.row("full_memory_peak", peak, "MB");
        Ok(load.events_per_s)
    }

    /// As much as goes in batches of a few events.
    async fn ticks(&mut self) -> Outcome<()> {
        let (events, under_way) = (TICK_EVENTS, UNDER_WAY);
        let load = self.loaded(Work::Full { events, under_way }).await?;
        self.row("small_batches", load.batches_per_s, "batches/s");
        let each = load.cpu_percent * 1e4 / load.batches_per_s.max(1.0);
        self.row("small_batches_cpu_per_batch", each, "us");
        Ok(())
    }

    /// So many events, however long each takes.
    async fn half(&mut self, events_per_s: f64) -> Outcome<()> {
        let load = self.loaded(self.steady(events_per_s)).await?;
        self.row("half_events", load.events_per_s, "events/s");
        self.row("half_persisted_p50", quantile_ms(&load.times_us, 0.5), "ms");
        let p99 = quantile_ms(&load.times_us, 0.99);
        self.row("half_persisted_p99", p99, "ms");
        self.row("half_cpu", load.cpu_percent, "% of one CPU");
        Ok(())
    }

    /// The same with one sensor that floods.
    async fn flood(&mut self, events_per_s: f64) -> Outcome<()> {
        let others = self.steady(events_per_s);
        self.flooder.work(FLOOD);
        let (before, began) = (self.flooder.meter.events_persisted(), Instant::now());
        let load = self.loaded(others).await?;
        let flooded = (self.flooder.meter.events_persisted() - before) as f64;
        let flooded = flooded / began.elapsed().as_secs_f64();
        self.flooder.work(Work::Idle);
        self.flooder.drained().await?;
        self.row("flood_others_events", load.events_per_s, "events/s");
        let [p50, p99] = [0.5, 0.99].map(|share| quantile_ms(&load.times_us, share));
        self.row("flood_others_persisted_p50", p50, "ms");
        self.row("flood_others_persisted_p99", p99, "ms");
        self.row("flood_flooder_events", flooded, "events/s");
        self.failures();
        Ok(())
    }

    fn steady(&self, events_per_s: f64) -> Work {
        let batches_per_s = events_per_s / self.cli.events as f64;
        Work::Steady {
            events: self.cli.events,
            every: Duration::from_secs_f64(self.cli.sensors as f64 / batches_per_s.max(0.1)),
        }
    }

    /// Has the sensors work, looks at them after a while, and waits until all is acknowledged.
    async fn loaded(&mut self, work: Work) -> Outcome<Load> {
        let batches = self.crowd.meter.batches_persisted();
        self.crowd.work(work);
        say("warming up", false);
        sleep(WARM_UP).await;
        // Ten thousand sensors that begin at once take this program a while: until each has had its turn.
        self.crowd.came_to(batches + self.cli.sensors).await?;
        let load = self.look().await?;
        self.crowd.work(Work::Idle);
        self.crowd.drained().await?;
        Ok(load)
    }

    /// What happens while nothing is changed.
    async fn look(&self) -> Outcome<Load> {
        let meter = &self.crowd.meter;
        drop(meter.take_times());
        let (cpu, began) = (self.daemon.cpu()?, Instant::now());
        let (events, batches) = (meter.events_persisted(), meter.batches_persisted());
        let end = Duration::from_secs(self.cli.seconds);
        while began.elapsed() < end {
            sleep(
                end.saturating_sub(began.elapsed())
                    .min(Duration::from_secs(1)),
            )
            .await;
            let so_far = (meter.events_persisted() - events) as f64 / began.elapsed().as_secs_f64();
            say(&format!("{so_far:.0} events/s"), false);
        }
        let seconds = began.elapsed().as_secs_f64();
        let cpu = self.daemon.cpu()?.saturating_sub(cpu);
        Ok(Load {
            events_per_s: (meter.events_persisted() - events) as f64 / seconds,
            batches_per_s: (meter.batches_persisted() - batches) as f64 / seconds,
            cpu_percent: cpu.as_secs_f64() / seconds * 100.0,
            times_us: meter.take_times(),
        })
    }

    /// Says why connections ended.
    fn failures(&self) {
        for (why, times) in self.crowd.meter.take_failures() {
            say(&format!("  {times} times: {why}"), true);
        }
    }

    /// Stops the collector. What was acknowledged must be in its log, each event once, and the theft an alert.
    async fn end(self) -> Outcome<Vec<Row>> {
        let persisted = self.crowd.meter.events_persisted() + self.flooder.meter.events_persisted();
        drop((self.crowd, self.flooder));
        self.daemon.stop().await?;
        check(&self.cli.directory.join("data"), persisted)?;
        Ok(self.rows)
    }
}

fn check(data: &Path, persisted: u64) -> Outcome<()> {
    let (_, held) = LogReader::open(data)?.totals()?;
    if held != persisted {
        return Err(format!("{persisted} events were acknowledged, the log holds {held}").into());
    }
    let alerts = AlertReader::open(data)?.newest()?;
    let of_theft = alerts
        .iter()
        .filter(|alert| alert.sensor == "ws-00000")
        .count();
    if (alerts.len(), of_theft) != (1, 1) {
        let found = alerts.len();
        return Err(format!("one theft took place, and there are {found} alerts").into());
    }
    Ok(())
}
