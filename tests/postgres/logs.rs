//! Logs: every format says the same, nothing is torn apart, and what was delivered is remembered.

use crate::cluster::Cluster;
use crate::program::Program;
use crate::support::Router;

#[tokio::test]
async fn a_server_that_writes_json_is_followed() {
    let cluster = Cluster::start("logging_collector = on\nlog_destination = jsonlog").await;
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let url = cluster.monitor().await;
    let mut program = Program::start(&router, &token, &url, &["--interval", "1h"]);
    program.says("reading another file").await;
    let client = cluster.client("postgres").await;
    client
        .simple_query("select *\nfrom nowhere")
        .await
        .unwrap_err();
    let lines = router.history_until("shop", 4).await;
    eprintln!("{lines:#?}");
    program.done().await;
}
