//! Words for stories about registries.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, bail};
use integration::TestResult;
pub(crate) use integration::command::{Reply, holdfastctl, holdfastctl_as};
use integration::config::wasm::modules;

/// Somebody else's client.
pub(crate) fn skopeo(arguments: &[&str]) -> TestResult<String> {
    let output = Command::new("skopeo").args(arguments).output().context("no skopeo: run `cargo xtask setup`")?;
    if !output.status.success() {
        bail!("skopeo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A module that was built.
pub(crate) fn module(name: &str) -> TestResult<PathBuf> {
    Ok(modules()?.join(format!("{name}.wasm")))
}

/// The version of all of them.
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// A wire to a registry that breaks when so many bytes have gone there.
pub(crate) struct Cutter(u16);

// === impl Cutter ===

impl Cutter {
    pub(crate) fn start(to: u16, after: usize) -> TestResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let left = Arc::new(AtomicUsize::new(after));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let left = Arc::clone(&left);
                thread::spawn(move || forward(&client, to, &left));
            }
        });
        Ok(Self(port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.0
    }
}

fn forward(client: &TcpStream, to: u16, left: &AtomicUsize) -> Option<()> {
    let server = TcpStream::connect(("127.0.0.1", to)).ok()?;
    let (mut from_server, mut to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let answers = thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let (mut from_client, mut to_server) = (client, &server);
    let mut bytes = [0; 1024];
    while let Ok(read @ 1..) = from_client.read(&mut bytes) {
        let spent = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(read)).is_err();
        if spent {
            let _ = client.shutdown(Shutdown::Both);
            break;
        }
        to_server.write_all(bytes.get(..read)?).ok()?;
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
    Some(())
}

/// Answers every request with one status.
pub(crate) struct Refuser(u16);

// === impl Refuser ===

impl Refuser {
    pub(crate) fn start(status: u16) -> TestResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut head = [0; 4096];
                let _ = client.read(&mut head);
                let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = client.write_all(answer.as_bytes());
            }
        });
        Ok(Self(port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.0
    }
}
