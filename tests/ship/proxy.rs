//! A proxy before a router that lets requests through and cuts some answers.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// The proxy.
pub(crate) struct Proxy;

impl Proxy {
    /// Forwards connections to `router`; of the first `cut_count` the first answer is cut: the
    /// router has given it, and nobody hears.
    pub(crate) async fn start(router: SocketAddr, cut_count: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for index in 0.. {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(router).await.unwrap();
                tokio::spawn(forward(near, far, index < cut_count));
            }
        });
        address
    }
}

async fn forward(mut near: TcpStream, mut far: TcpStream, is_cut: bool) {
    if !is_cut {
        let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        return;
    }
    let (mut from, mut to) = (vec![0; 64 * 1024], [0; 1]);
    loop {
        tokio::select! {
            read = near.read(&mut from) => match read {
                Ok(count @ 1..) => far.write_all(&from[..count]).await.unwrap(),
                _ => return,
            },
            // It has answered.
            _ = far.read(&mut to) => return,
        }
    }
}
