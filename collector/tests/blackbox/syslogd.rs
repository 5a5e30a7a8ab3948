//! Debian's rsyslogd as a receiver: started with a configuration of its own, on loopback, by this test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::daemon::{until, wait};

const RSYSLOGD: &str = "/usr/sbin/rsyslogd";

/// What a receiver is made of; it can be started and killed any number of times.
pub(crate) struct Receiver {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Receiver {
    /// `None` where rsyslogd is not installed.
    pub(crate) fn new() -> Option<Self> {
        if !std::path::Path::new(RSYSLOGD).exists() {
            return None;
        }
        // The kernel chooses the port; the socket is closed again for rsyslogd to take it.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let receiver = Self {
            dir: tempfile::tempdir().unwrap(),
            port,
            child: None,
        };
        std::fs::write(receiver.config(), receiver.text()).unwrap();
        Some(receiver)
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("rsyslog.conf")
    }

    /// Where the messages go: structured data, a blank, and the message, one a line.
    pub(crate) fn messages(&self) -> PathBuf {
        self.dir.path().join("messages")
    }

    fn text(&self) -> String {
        let messages = self.messages().display().to_string();
        format!(
            "global(workDirectory=\"{dir}\" maxMessageSize=\"64k\")\n\
             module(load=\"imtcp\" KeepAlive=\"on\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" supportOctetCountedFraming=\"on\")\n\
             template(name=\"line\" type=\"string\" string=\"%pri%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{messages}\" template=\"line\" asyncWriting=\"off\" flushOnTXEnd=\"on\")\n",
            dir = self.dir.path().display(),
            port = self.port,
        )
    }

    pub(crate) fn start(&mut self) {
        let pid_file = self.dir.path().join("pid");
        let child = Command::new(RSYSLOGD)
            .args(["-n", "-f"])
            .arg(self.config())
            .arg("-i")
            .arg(pid_file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let port = self.port;
        until("rsyslogd", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    /// SIGKILL: what it had not written is lost.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            wait(&mut child);
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}
