//! Remote locations whose server sends any response.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex, PoisonError};

use relabel::shared::remote::{Access, RemoteFiles, RemoteSettings};
use relabel::shared::store::Files as _;

/// Statuses after which the client does not retry; retries take seconds.
const STATUSES: [u16; 10] = [200, 206, 204, 304, 400, 401, 403, 404, 412, 416];

/// Headers that set the length of the response or redirect to another machine.
const RESERVED_HEADERS: [&str; 4] = ["content-length", "transfer-encoding", "connection", "location"];

const SECRET: &str = "HUSHHUSH";

/// The response to every request.
static RESPONSE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static REMOTES: LazyLock<[RemoteFiles; 2]> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("cannot listen: {error}"));
    let port = listener.local_addr().map_or(0, |address| address.port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(|| answer(stream));
        }
    });
    let server = format!("http://127.0.0.1:{port}");
    let variables = [
        ("AWS_ENDPOINT_URL", server.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIAFUZZ"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "us-east-1"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    [format!("{server}/set"), "s3://bucket/set".to_owned()].map(|address| {
        let settings = RemoteSettings { variables: variables.clone(), access: Access::Read, stop: None };
        RemoteFiles::open(&address, settings).unwrap_or_else(|error| panic!("cannot open {address}: {error}"))
    })
});

/// Sends a request. The first byte selects location and request, the second the status; headers follow, one per line, and
/// the body after an empty line.
pub(super) fn send_request(bytes: &[u8]) {
    let [request, status, rest @ ..] = bytes else { return };
    let remotes = &*REMOTES;
    *RESPONSE.lock().unwrap_or_else(PoisonError::into_inner) = response(*status, rest);
    let remote = &remotes[usize::from(request & 1)];
    let done = match request >> 1 & 7 {
        0 => remote.read("zarr.json").map(drop),
        1 => remote.read_range("scores/c.0.0.0.0", 3..8).map(drop),
        2 => remote.file_bytes("zarr.json").map(drop),
        3 => remote.stored_digest("zarr.json").map(drop),
        4 => remote.read_range("scores/c.0.0.0.0", u64::MAX - 8..u64::MAX).map(drop),
        _ => remote.list().map(drop),
    };
    if let Err(error) = done {
        assert!(!error.to_string().contains(SECRET), "a message contains a secret: {error}");
    }
}

fn response(status: u8, rest: &[u8]) -> Vec<u8> {
    let at = rest.windows(2).position(|pair| pair == b"\n\n");
    let (headers, body) = at.map_or((rest, &[][..]), |at| (&rest[..at], &rest[at + 2..]));
    let mut answer = format!("HTTP/1.1 {} x\r\n", STATUSES[usize::from(status) % STATUSES.len()]).into_bytes();
    for line in headers.split(|byte| *byte == b'\n') {
        let name = String::from_utf8_lossy(line.split(|byte| *byte == b':').next().unwrap_or_default());
        let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_clean = !line.iter().any(|byte| [b'\r', 0].contains(byte)) && line.contains(&b':');
        if is_token && is_clean && !RESERVED_HEADERS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            answer.extend_from_slice(line);
            answer.extend_from_slice(b"\r\n");
        }
    }
    answer.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    answer.extend_from_slice(body);
    answer
}

/// Responds to every request of a connection. A response to `HEAD` has no body.
fn answer(stream: TcpStream) {
    let mut requests = BufReader::new(stream);
    loop {
        let mut is_head = None;
        loop {
            let mut line = String::new();
            match requests.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line.trim().is_empty() => break,
                Ok(_) => is_head = is_head.or(Some(line.starts_with("HEAD"))),
            }
        }
        let mut answer = RESPONSE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if is_head == Some(true) {
            let headers = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
            answer.truncate(headers);
        }
        if requests.get_mut().write_all(&answer).is_err() {
            return;
        }
    }
}
