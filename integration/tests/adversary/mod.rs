//! Clients and services that no HTTP library would be: they trickle, stall and never end.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use integration::TestResult;

/// A client that sends its four-byte body one byte at a time, `pause` apart, and reads the status line.
pub(crate) fn trickle(port: u16, pause: Duration) -> JoinHandle<TestResult<String>> {
    thread::spawn(move || {
        let mut client = begin_upload(port)?;
        for _ in 0..4 {
            thread::sleep(pause);
            client.write_all(b".")?;
        }
        first_line(&mut client)
    })
}

/// A client that announces four bytes and sends none; the connection stays as long as the value.
pub(crate) fn begin_upload(port: u16) -> TestResult<TcpStream> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    client.set_read_timeout(Some(Duration::from_secs(5)))?;
    client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")?;
    Ok(client)
}

/// A CONNECT tunnel that its client keeps until the other side ends it.
pub(crate) fn tunnel(port: u16) -> JoinHandle<TestResult<String>> {
    thread::spawn(move || {
        let mut client = TcpStream::connect(("127.0.0.1", port))?;
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        client.write_all(b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\nhello")?;
        first_line(&mut client)
    })
}

fn first_line(client: &mut TcpStream) -> TestResult<String> {
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().context("no answer")?.to_owned())
}

/// Waits for clients; all of them must have been answered like this.
pub(crate) fn all_answered(clients: Vec<JoinHandle<TestResult<String>>>, with: &str) -> TestResult {
    for client in clients {
        let line = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        anyhow::ensure!(line.starts_with(with), "{line}");
    }
    Ok(())
}

/// A service of one's own on a port that the kernel chooses, until the process ends: one request per connection.
pub(crate) fn service(answer: fn(&str, TcpStream)) -> TestResult<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut head = [0; 4_096];
                let length = client.read(&mut head).unwrap_or(0);
                answer(&String::from_utf8_lossy(head.get(..length).unwrap_or_default()), client);
            });
        }
    });
    Ok(port)
}

/// Answers a path below `/sick` with 500; `/start` by a redirect to `/end`; `/watch` by a gRPC stream that goes on as long as
/// its client is there (in HTTP/1's form, which Envoy doesn't mind); anything else with 200.
pub(crate) fn many_ways(head: &str, mut client: TcpStream) {
    let head_of = |rest: &str| format!("HTTP/1.1 {rest}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let path = head.split(' ').nth(1).unwrap_or("/");
    if path.starts_with("/watch") {
        let stream = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut going = client.write_all(stream.as_bytes());
        while going.is_ok() {
            going = client.write_all(b"5\r\n\0\0\0\0\0\r\n");
            thread::sleep(Duration::from_millis(50));
        }
        return;
    }
    let answer = match path {
        "/sick" => head_of("500 No"),
        "/start" => head_of("302 Found\r\nlocation: http://x/end"),
        _ => head_of("200 OK"),
    };
    // A client that has left is no concern of ours.
    let _ = client.write_all(answer.as_bytes());
}

/// A tunnel's far end, which hangs up after a second.
pub(crate) fn hang_up_after_a_second(_head: &str, client: TcpStream) {
    thread::sleep(Duration::from_secs(1));
    drop(client);
}
