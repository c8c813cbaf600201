//! Programs that others wrote, brought by `tests/peers/install.sh`.

use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use super::until;

/// A peer in the foreground, ended with the test.
pub struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What to do about a peer that is not there.
pub const INSTALL: &str = "is missing: run tests/peers/install.sh";

/// rsyslog with `config`, its files in `folder`.
pub fn rsyslog(folder: &Path, config: &str) -> Peer {
    let program = Path::new("/usr/sbin/rsyslogd");
    assert!(program.exists(), "rsyslog {INSTALL}");
    let file = folder.join("rsyslog.conf");
    std::fs::write(&file, config).unwrap();
    let child = Command::new(program)
        .args(["-n", "-C", "-f"])
        .arg(&file)
        .arg("-i")
        .arg(folder.join("rsyslog.pid"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Peer(child)
}

/// syslog-ng, unpacked by the install script, with `config`, its files in `folder`.
pub fn syslog_ng(folder: &Path, config: &str) -> Peer {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/syslog-ng");
    let program = root.join("usr/sbin/syslog-ng");
    assert!(program.exists(), "syslog-ng {INSTALL}");
    let file = folder.join("syslog-ng.conf");
    std::fs::write(&file, format!("@version: 3.38\n{config}")).unwrap();
    let arch = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = [
        root.join("lib").join(&arch),
        root.join("usr/lib").join(&arch),
        root.join("usr/lib/syslog-ng/3.38"),
        root.join("usr/lib/syslog-ng"),
    ];
    let child = Command::new(program)
        .env("LD_LIBRARY_PATH", std::env::join_paths(&libraries).unwrap())
        .args(["-F", "-e", "-f"])
        .arg(&file)
        .arg("-R")
        .arg(folder.join("persist"))
        .arg("--control")
        .arg(folder.join("control"))
        .arg("-p")
        .arg(folder.join("pid"))
        .arg("--module-path")
        .arg(root.join("usr/lib/syslog-ng/3.38"))
        .spawn()
        .unwrap();
    Peer(child)
}

/// Waits until `file` holds a line that contains each of `wanted`; gives the whole file.
pub async fn file_has(file: &Path, wanted: &[&str]) -> String {
    until(&format!("{wanted:?} in {}", file.display()), || {
        let text = String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned();
        wanted.iter().all(|w| text.contains(w)).then_some(text)
    })
    .await
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
