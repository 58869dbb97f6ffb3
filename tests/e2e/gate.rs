//! A door in front of Orion. Who knocks while it is shut is let in when it opens: what lies between the two is a
//! connection that takes as long as a test likes.

use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

pub struct Gate {
    port: u16,
    is_open: watch::Sender<bool>,
    /// They stand in the queue, so that nobody else can.
    queue: Vec<TcpStream>,
}

impl Gate {
    /// An open one in front of the server at `url`.
    pub fn new(url: &str) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let (port, is_open) = (listener.local_addr().unwrap().port(), watch::Sender::new(true));
        tokio::spawn(serve(listener, server, is_open.subscribe()));
        Self { port, is_open, queue: Vec::new() }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Cuts all connections, and lets none be established.
    pub async fn shut(&mut self) {
        self.is_open.send_replace(false);
        let knock = async || timeout(Duration::from_millis(300), TcpStream::connect(("127.0.0.1", self.port))).await;
        // A full queue drops who comes, and who comes knocks again every second or so.
        while let Ok(established) = knock().await {
            self.queue.push(established.unwrap());
        }
    }

    pub fn open(&mut self) {
        self.queue.clear();
        self.is_open.send_replace(true);
    }

    /// Somebody is knocking: a connection to the door is begun and not established.
    pub fn is_knocked_at(&self) -> bool {
        const SYN_SENT: &str = "02";
        let remote = format!(":{:04X}", self.port);
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        connections.lines().any(|line| {
            let mut columns = line.split_whitespace().skip(2);
            columns.next().is_some_and(|address| address.ends_with(&remote)) && columns.next() == Some(SYN_SENT)
        })
    }
}

async fn serve(listener: TcpListener, server: String, mut is_open: watch::Receiver<bool>) {
    while is_open.wait_for(|is_open| *is_open).await.is_ok() {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            _ = is_open.wait_for(|is_open| !is_open) => continue,
        };
        let (server, mut is_open) = (server.clone(), is_open.clone());
        tokio::spawn(async move {
            let pass = async {
                let (mut client, mut server) = (stream, TcpStream::connect(server).await?);
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            };
            tokio::select! {
                _ = pass => {}
                _ = is_open.wait_for(|is_open| !is_open) => {}
            }
        });
    }
}
