//! The README's commands for Postgres and Redis, as they stand there.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use crate::cluster::Cluster;
use crate::cluster::PASSWORD;
use crate::cluster::free_port;
use crate::support::CREDENTIAL;
use crate::support::Router;
use crate::support::until_async;

/// A process group that is ended when dropped: the block leaves programs running.
struct Group(std::process::Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        drop(
            Command::new("kill")
                .args(["-s", "TERM", "--", &group])
                .status(),
        );
        drop(self.0.wait());
    }
}

fn bash(router: &Router, folder: &Path, script: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let program = Path::new(env!("CARGO_BIN_EXE_logboom")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-e", "-c", script])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", program.display()))
        .env("LOGBOOM_URL", format!("http://{}", router.http))
        .env("LOGBOOM_CREDENTIAL", CREDENTIAL)
        .stdin(Stdio::null())
        .process_group(0);
    command
}

#[tokio::test]
async fn a_server_is_set_up_and_reported_on() {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("\n## Postgres and Redis\n").unwrap();
    let (_, block) = section.split_once("\n```sh\n").unwrap();
    let (block, _) = block.split_once("\n```\n").unwrap();
    let restart = "\nsudo systemctl restart postgresql\n";
    let (first, second) = block.split_once(restart).unwrap();

    let mut cluster = Cluster::start("").await;
    let router = Router::start().await;
    router.channel("myapp").await;
    let folder = tempfile::tempdir().unwrap();
    let redis_port = free_port();
    let redis = Command::new("redis-server")
        .args(["--port", &redis_port.to_string(), "--save", "", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn();
    let mut redis = redis.expect("redis-server is missing: run tests/peers/install.sh");
    let here = |text: &str| {
        text.replace(":8601", &format!(":{}", router.http.port()))
            .replace(":5432", &format!(":{}", cluster.port()))
            .replace(":6379", &format!(":{redis_port}"))
            .replace(":secret@", &format!(":{PASSWORD}@"))
    };
    let (first, second) = (here(first), here(second));

    let output = bash(&router, folder.path(), &first).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let printed = said
        .lines()
        .find(|line| line.starts_with("export DATABASE_URL="))
        .unwrap();
    let line = second.lines().next().unwrap();
    assert!(
        line.starts_with("export DATABASE_URL=postgres://logboom:…@127.0.0.1:"),
        "{line}"
    );
    cluster.down();
    cluster.up().await;

    let logs_url = first.lines().next().unwrap();
    let script = format!("{logs_url}\n{}\nwait", second.replace(line, printed));
    let running = bash(&router, folder.path(), &script)
        .stdout(Stdio::null())
        .spawn();
    let running = Group(running.unwrap());
    until_async("samples and logs of both", async || {
        // Whoever comes after the program's start is in the log.
        cluster
            .execute("do $$ begin raise log 'hello from postgres'; end $$")
            .await;
        let history = router.history("myapp", 10_000).await;
        let has = |part: &str| history.iter().any(|line| line.contains(part));
        has("app[heroku-postgres]: source=DATABASE addon=postgresql-postgres sample#")
            && has("app[heroku-redis]: source=REDIS addon=redis sample#")
            && has("LOG:  hello from postgres")
    })
    .await;
    drop(running);
    drop(redis.kill());
    drop(redis.wait());
}
