//! A web server and who asks it: Debian's nginx and wrk, unpacked and not installed, on the loopback.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::works::Taken;
use crate::step::{capture, say};
use crate::vm::{self, Program};

/// What the work is called; its times are those of so many requests.
pub(super) const NAME: &str = "nginx and wrk, 10,000 requests";
const REQUESTS: f64 = 10_000.0;
const SECONDS: &str = "2s";
const START_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// The server.
#[derive(Debug)]
pub(super) struct Web {
    server: Child,
    address: String,
    client: Program,
}

impl Web {
    /// Starts the server with a file of 4 KiB to give.
    pub(super) fn start(home: &Path) -> Result<Self> {
        let directory = home.join("web");
        fs::create_dir(&directory)?;
        fs::write(directory.join("page"), vec![b'.'; 4096])?;
        // The port is free now; nothing else here asks for ports.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let address = format!("127.0.0.1:{port}");
        let settings = directory.join("nginx.conf");
        fs::write(&settings, configuration(&directory, &address))?;
        let mut command = vm::program("nginx-light", "nginx")?.command();
        let log = directory.join("error.log");
        let server = command
            .arg("-e")
            .arg(&log)
            .arg("-c")
            .arg(&settings)
            .stdin(Stdio::null())
            .spawn()
            .context("failed to start nginx")?;
        let mut web = Self {
            server,
            address,
            client: vm::program("wrk", "wrk")?,
        };
        web.wait()?;
        Ok(web)
    }

    fn wait(&mut self) -> Result<()> {
        let begin = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            if let Some(status) = self.server.try_wait()? {
                bail!("nginx ended with {status}");
            }
            ensure!(begin.elapsed() < START_LIMIT, "nginx does not answer");
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Has it asked for a while.
    pub(super) fn perform(&self) -> Result<Taken> {
        let page = format!("http://{}/page", self.address);
        let mut client = self.client.command();
        client.args(["-t", "1", "-c", "16", "-d", SECONDS, &page]);
        let (server, clients) = (self.cpu()?, super::works::of_children()?);
        let said = capture(&mut client)?;
        let cpu = self.cpu()?.saturating_sub(server)
            + super::works::of_children()?.saturating_sub(clients);
        let (requests, seconds) = asked(&said).with_context(|| format!("wrk said {said}"))?;
        let part = REQUESTS / requests;
        Ok(Taken {
            cpu: cpu.mul_f64(part),
            elapsed: Duration::from_secs_f64(seconds * part),
        })
    }

    /// CPU that the server has used; it has one thread.
    fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/schedstat", self.server.id());
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let nanoseconds = text.split_whitespace().next().unwrap_or_default();
        Ok(Duration::from_nanos(
            nanoseconds.parse().context("not a schedstat")?,
        ))
    }

    /// Stops the server.
    pub(super) fn end(mut self) -> Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> Result<()> {
        if self.server.try_wait()?.is_none() {
            self.server.kill()?;
            self.server.wait()?;
        }
        Ok(())
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            say(format!("nginx could not be stopped: {error:#}"));
        }
    }
}

fn configuration(directory: &Path, address: &str) -> String {
    let directory = directory.display();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{ access_log off; keepalive_requests 1000000;
  client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  server {{ listen {address}; root {directory}; }} }}
"
    )
}

/// Requests and seconds in `  54321 requests in 2.10s, 12.3MB read`, if none failed.
fn asked(said: &str) -> Option<(f64, f64)> {
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return None;
    }
    let line = said.lines().find(|line| line.contains(" requests in "))?;
    let (requests, rest) = line.trim().split_once(" requests in ")?;
    let seconds = rest.split_once("s,")?.0;
    Some((requests.parse().ok()?, seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let said = "Running 2s test\n  54321 requests in 2.10s, 12.3MB read\nRequests/sec: 1\n";
        assert_eq!(asked(said), Some((54_321.0, 2.1)));
        assert_eq!(
            asked(&format!("{said}  Non-2xx or 3xx responses: 3\n")),
            None
        );
    }
}
