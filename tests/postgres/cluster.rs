//! A PostgreSQL server of a test's own: made by `initdb` in a temporary folder, on a free port, run
//! as `postgres` where the test runs as root, whom Postgres refuses.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use tokio_postgres::NoTls;
use tokio_postgres::Row;

use crate::support::until_async;

/// The superuser's password.
pub(crate) const PASSWORD: &str = "geheim";

/// A server. It ends with the value.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Child>,
    /// A Unix socket that stands at /dev/log for the server alone.
    dev_log: Option<PathBuf>,
}

/// Where Debian's package puts a server's programs.
pub(crate) fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|folder| {
        let found = folder.map(|version| version.unwrap().path().join("bin").join(name));
        found.filter(|path| path.exists()).max()
    });
    let found = versions.ok().flatten();
    found.unwrap_or_else(|| panic!("{name} is missing: run tests/peers/install.sh"))
}

fn id(flag: &str) -> u32 {
    let output = Command::new("id")
        .args([flag, "postgres"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// `name` of the server's programs, to be run as the one who may run it.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    if is_root() {
        command.uid(id("-u")).gid(id("-g"));
    }
    // The folder that a test runs in may be closed to others.
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// A folder that the server's user owns.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        chown(folder.path(), Some(id("-u")), Some(id("-g"))).unwrap();
    }
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// A port where nobody listens for TCP. Somebody else may take it first, then the test fails.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The prefix of Heroku's servers.
pub(crate) const HEROKU_PREFIX: &str = r#" sql_error_code = %e time_ms = "%m" pid="%p" proc_start_time="%s" session_id="%c" vtid="%v" tid="%x" log_line="%l" %qdatabase="%d" connection_source="%r" user="%u" application_name="%a" "#;

impl Cluster {
    /// Makes one with these lines in its configuration, and starts it.
    pub(crate) async fn start(configuration: &str) -> Self {
        let mut cluster = Self::make(configuration);
        cluster.up().await;
        cluster
    }

    /// Makes one whose syslog goes to `socket`.
    pub(crate) async fn start_with_dev_log(configuration: &str, socket: &Path) -> Self {
        let mut cluster = Self::make(configuration);
        cluster.dev_log = Some(socket.to_owned());
        cluster.up().await;
        cluster
    }

    fn make(configuration: &str) -> Self {
        let folder = folder();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let made = command("initdb")
            .args([
                "-U",
                "postgres",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--no-sync",
            ])
            .args(["--locale", "C.UTF-8", "--pwfile"])
            .arg(&password)
            .arg("-D")
            .arg(folder.path().join("data"))
            .status();
        assert!(made.unwrap().success(), "initdb");
        let cluster = Self {
            folder,
            port: free_port(),
            server: None,
            dev_log: None,
        };
        cluster.configure(&format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n\
             max_connections = 20\nlog_timezone = 'UTC'\nautovacuum = off\n{configuration}\n",
            cluster.folder.path().display()
        ));
        cluster
    }

    /// A server that follows `leader`.
    pub(crate) async fn follow(leader: &Self) -> Self {
        let folder = folder();
        let made = command("pg_basebackup")
            .args(["--no-sync", "-R", "-c", "fast", "-D"])
            .arg(folder.path().join("data"))
            .arg("-d")
            .arg(leader.url("postgres"))
            .status();
        assert!(made.unwrap().success(), "pg_basebackup");
        let mut cluster = Self {
            folder,
            port: free_port(),
            server: None,
            dev_log: None,
        };
        cluster.configure("hot_standby = on\n");
        cluster.up().await;
        cluster
    }

    /// Adds lines to the configuration.
    pub(crate) fn configure(&self, lines: &str) {
        use std::io::Write;
        let path = self.data().join("postgresql.conf");
        let mut file = std::fs::File::options().append(true).open(path).unwrap();
        writeln!(file, "{lines}").unwrap();
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn up(&mut self) {
        let mut server = match &self.dev_log {
            None => command("postgres"),
            Some(socket) => in_a_dev_of_its_own(socket),
        };
        server
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .stderr(Stdio::null());
        self.server = Some(server.spawn().unwrap());
        let url = self.url("postgres");
        until_async("the server", async || {
            tokio_postgres::connect(&url, NoTls).await.is_ok()
        })
        .await;
    }

    /// Stops the server, sessions and all, and waits until it has ended.
    pub(crate) fn down(&mut self) {
        self.end("INT");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut server) = self.server.take() {
            // Not the child's pid: that may be the program that made it a /dev of its own.
            let file = std::fs::read_to_string(self.data().join("postmaster.pid"));
            let pid = file.unwrap_or_default().lines().next().map(str::to_owned);
            let pid = pid.unwrap_or_else(|| server.id().to_string());
            // One that was stopped takes the signal only when it goes on.
            for signal in [signal, "CONT"] {
                drop(Command::new("kill").args(["-s", signal, &pid]).status());
            }
            drop(server.wait());
        }
    }

    /// Sends a signal to the server's first process.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.server.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Gives a file to the server's user, and to nobody else.
    pub(crate) fn own(&self, path: &Path) {
        if is_root() {
            chown(path, Some(id("-u")), Some(id("-g"))).unwrap();
        }
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database, as the superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_of("postgres", PASSWORD, database)
    }

    /// The URL of a database, as anybody.
    pub(crate) fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The URL of the Unix socket that the server listens at, for a database called postgres.
    pub(crate) fn socket_url(&self, user: &str, password: &str) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!(
            "postgres://{user}:{password}@{folder}:{}/postgres",
            self.port
        )
    }

    /// A connection.
    pub(crate) async fn client(&self, database: &str) -> tokio_postgres::Client {
        let url = format!("{}?application_name=test", self.url(database));
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Does something as the superuser.
    pub(crate) async fn execute(&self, sql: &str) {
        let client = self.client("postgres").await;
        client.batch_execute(sql).await.unwrap();
    }

    /// Asks something.
    pub(crate) async fn ask(&self, sql: &str) -> Row {
        self.client("postgres")
            .await
            .query_one(sql, &[])
            .await
            .unwrap()
    }

    /// A role that may do what the program needs.
    pub(crate) async fn monitor(&self) -> String {
        self.execute("CREATE ROLE logboom LOGIN PASSWORD 'leise' IN ROLE pg_monitor")
            .await;
        self.url_of("logboom", "leise", "postgres")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}

/// `postgres` where /dev/log is `socket`: in a mount namespace with a /dev of its own, so that this
/// machine's syslog is left alone.
fn in_a_dev_of_its_own(socket: &Path) -> Command {
    let mut command = Command::new("unshare");
    let drop_root = if is_root() {
        command.arg("--mount");
        format!(
            "setpriv --reuid {} --regid {} --clear-groups ",
            id("-u"),
            id("-g")
        )
    } else {
        command.args(["--map-current-user", "--keep-caps", "--mount"]);
        String::new()
    };
    let script = format!(
        "set -e; dev=$(mktemp -d); mount -t tmpfs -o mode=755 none \"$dev\"\n\
         for name in null zero full random urandom tty; do\n\
             touch \"$dev/$name\"; mount --bind \"/dev/$name\" \"$dev/$name\"\n\
         done\n\
         mkdir -m 1777 \"$dev/shm\"; ln -s '{}' \"$dev/log\"\n\
         mount --rbind \"$dev\" /dev\n\
         exec {drop_root}\"$@\"",
        socket.display()
    );
    command
        .args(["sh", "-c", &script, "sh"])
        .arg(program("postgres"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}
