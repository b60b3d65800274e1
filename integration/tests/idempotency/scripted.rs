//! A service that answers, byte for byte, what a story wrote.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use integration::TestResult;

/// It speaks HTTP/1, each connection on a thread of its own, and answers a path with the bytes that were written for it. What says
/// `connection: close` is an answer's end by the connection's.
pub(crate) struct Scripted {
    port: u16,
    seen: Arc<Mutex<BTreeMap<String, Vec<Seen>>>>,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// An answer's parts; so much time is between two of them.
type Parts = Vec<Vec<u8>>;
type Answers = Arc<BTreeMap<&'static str, Parts>>;

const BETWEEN_PARTS: Duration = Duration::from_millis(150);

// === impl Scripted ===

impl Scripted {
    /// Starts it; every other path is answered with 404.
    pub(crate) fn start(answers: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> TestResult<Self> {
        Self::in_parts(answers.into_iter().map(|(path, answer)| (path, vec![answer])))
    }

    /// The same with answers that take their time.
    pub(crate) fn in_parts(answers: impl IntoIterator<Item = (&'static str, Parts)>) -> TestResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (answers, seen): (Answers, _) = (Arc::new(answers.into_iter().collect()), Arc::default());
        let book = Arc::clone(&seen);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, book) = (Arc::clone(&answers), Arc::clone(&book));
                // How a connection ends is the proxy's affair.
                std::thread::spawn(move || drop(serve(&stream, &answers, &book)));
            }
        });
        Ok(Self { port, seen })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What came for a path.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        locked(&self.seen).get(path).cloned().unwrap_or_default()
    }

    /// How many.
    pub(crate) fn hits(&self, path: &str) -> usize {
        self.seen(path).len()
    }
}

// === impl Seen ===

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

fn serve(stream: &TcpStream, answers: &Answers, book: &Mutex<BTreeMap<String, Vec<Seen>>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some((path, request)) = read(&mut reader)? {
        locked(book).entry(path.clone()).or_default().push(request);
        let missing = vec![b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()];
        let answer = answers.get(path.as_str()).unwrap_or(&missing);
        for (n, part) in answer.iter().enumerate() {
            std::thread::sleep(if n == 0 { Duration::ZERO } else { BETWEEN_PARTS });
            (&mut &*stream).write_all(part)?;
        }
        if answer.first().is_some_and(|head| String::from_utf8_lossy(head).contains("\r\nconnection: close\r\n")) {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<(String, Seen)>> {
    let first = line(reader)?;
    let Some(path) = first.split(' ').nth(1).map(str::to_owned) else { return Ok(None) };
    let mut request = Seen::default();
    loop {
        let header = line(reader)?;
        let Some((name, value)) = header.split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    request.body = if request.header("transfer-encoding").is_some() {
        chunks(reader)?
    } else {
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        exactly(reader, length)?
    };
    Ok(Some((path, request)))
}

fn chunks(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&line(reader)?, 16).unwrap_or(0);
        body.extend(exactly(reader, size)?);
        line(reader)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn exactly(reader: &mut BufReader<&TcpStream>, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Without its end; empty at the connection's end.
fn line(reader: &mut BufReader<&TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
