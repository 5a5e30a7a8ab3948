//! The host's files in a machine, for reading: QEMU's virtiofsd serves them, the machine lays memory of its own over them.
//!
//! **Invariant:** nothing in the machine can change a file of the host: what is served are mounts that only read, of the root's file system and of
//! those that this checkout and its target directory lie on, and none of the kernel's own.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::step;

/// Where Debian's QEMU has it (package qemu-system-common).
const SERVER: &str = "/usr/lib/qemu/virtiofsd";
/// Binds the root's file system for reading at the first argument, below it the trees of the second, and becomes the rest.
const MOUNT: &str = r#"
read_only() { mount --bind "$1" "$2" && mount -o remount,bind,ro "$2"; }
root=$1 trees=$2
shift 2
read_only / "$root" || exit 1
for tree in $trees; do read_only "$tree" "$root$tree" || exit 1; done
exec "$@"
"#;
/// Name of the share in the machine.
pub(crate) const TAG: &str = "host";
/// How long the server may take to be there.
const START: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// The host's files, served until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    server: Child,
    place: TempDir,
}

impl Share {
    /// Serves everything below `/`.
    ///
    /// # Errors
    /// The server is not there, or does not start.
    pub(crate) fn of_host() -> Result<Self> {
        if !Path::new(SERVER).exists() {
            bail!(
                "{SERVER} is not there (Debian package qemu-system-common): the machine reads this host's files through it"
            );
        }
        let place = tempfile::tempdir().context("failed to make a temporary directory")?;
        let root = place.path().join("root");
        std::fs::create_dir(&root).context("failed to make a mount point")?;
        let socket = place.path().join("socket");
        // In a mount namespace of its own, so that the mount is gone with the server.
        let trees = elsewhere()?.join("\n");
        let server = step::ending_with_us("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                MOUNT,
                "sh",
            ])
            .arg(&root)
            .arg(trees)
            .arg(SERVER)
            .arg(format!("--socket-path={}", socket.display()))
            .args(["-o", &format!("source={}", root.display())])
            .args([
                "-o",
                "cache=always",
                "-o",
                "sandbox=chroot",
                "-o",
                "log_level=err",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(place.path().join("log")).context("failed to create a log")?)
            .spawn()
            .context("failed to start setpriv for unshare (Debian package util-linux)")?;
        let mut share = Self { server, place };
        share.wait_for(&socket)?;
        Ok(share)
    }

    fn wait_for(&mut self, socket: &Path) -> Result<()> {
        let begin = Instant::now();
        while !socket.exists() {
            if let Some(status) = self
                .server
                .try_wait()
                .context("failed to look at virtiofsd")?
            {
                let said = std::fs::read_to_string(self.place.path().join("log"))?;
                bail!("{SERVER} ended with {status}: {}", said.trim());
            }
            if begin.elapsed() > START {
                bail!("{SERVER} did not start in time");
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("socket")
    }

    /// What the emulator is told: the server works in the machine's memory.
    pub(super) fn options(&self, memory_mb: u32) -> Vec<String> {
        [
            "-object",
            &format!("memory-backend-memfd,id=memory,size={memory_mb}M,share=on"),
            "-numa",
            "node,memdev=memory",
            "-chardev",
            &format!("socket,id=share,path={}", self.socket().display()),
            "-device",
            &format!("vhost-user-fs-pci,chardev=share,tag={TAG}"),
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// What of this checkout lies on another file system than the root.
fn elsewhere() -> Result<Vec<String>> {
    let device = |path: &Path| -> Result<u64> {
        let about = std::fs::metadata(path);
        Ok(about
            .with_context(|| format!("failed to read {}", path.display()))?
            .dev())
    };
    let root = device(Path::new("/"))?;
    let mut found = Vec::new();
    for tree in [step::root(), step::target_dir()] {
        if device(&tree)? != root {
            found.push(tree.display().to_string());
        }
    }
    Ok(found)
}

impl Drop for Share {
    fn drop(&mut self) {
        // It ends by itself when the emulator has ended; this is for one that never began.
        let ended = self.server.kill().and_then(|()| self.server.wait());
        if let Err(error) = ended {
            step::say(format!("virtiofsd could not be ended: {error}"));
        }
    }
}
