//! Servers that send endless, very slow or malformed responses, absurd lengths, or redirects.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use relabel::shared::error::Error;
use relabel::shared::remote::{Access, RemoteFiles, RemoteSettings};
use relabel::shared::store::{Files as _, StoreReader};

use crate::common::Ran;

/// A server that responds with a function and records all requests. It ends with the process.
struct RawServer {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl RawServer {
    fn start(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, noted) = (Arc::new(answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut request = String::new();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while reader.read_line(&mut request).is_ok_and(|bytes| bytes > 2) {}
                    noted.lock().unwrap().push(request.clone());
                    // The client may hang up.
                    let _ = answer(&request, &mut stream);
                });
            }
        });
        Self { port, requests }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn open(&self) -> RemoteFiles {
        RemoteFiles::open(&self.url(), RemoteSettings::default()).unwrap()
    }
}

fn write_head(stream: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")
}

#[test]
fn an_absurd_length_is_refused_before_memory_is_allocated() {
    let server = RawServer::start(|_, stream| {
        write_head(stream, "200 OK", &format!("Content-Length: {}\r\n", 1_u64 << 50))?;
        loop {
            stream.write_all(&vec![b' '; 1 << 16])?;
        }
    });
    let refusal = server.open().read("zarr.json").unwrap_err().to_string();
    assert!(refusal.contains(&(1_u64 << 50).to_string()) && refusal.contains("at most"), "{refusal}");
    // If a server ignores ranges, the range is taken from the start of the response, and the rest is not read.
    assert_eq!(server.open().read_range("scores/c.0.0.0.0", 100..300).unwrap(), [b' '; 200]);
}

#[test]
fn endless_responses_are_cut_off() {
    let server = RawServer::start(|_, stream| {
        write_head(stream, "200 OK", "Transfer-Encoding: chunked\r\n")?;
        loop {
            write!(stream, "10000\r\n")?;
            stream.write_all(&vec![b' '; 1 << 16])?;
            write!(stream, "\r\n")?;
        }
    });
    assert!(server.open().read("zarr.json").is_err());
    let server = RawServer::start(|_, stream| {
        write_head(stream, "403 Forbidden", "Transfer-Encoding: chunked\r\n")?;
        loop {
            write!(stream, "10000\r\n")?;
            stream.write_all(&vec![b' '; 1 << 16])?;
            write!(stream, "\r\n")?;
        }
    });
    let refusal = server.open().read("zarr.json").unwrap_err().to_string();
    assert!(refusal.contains("403"), "{refusal}");
}

#[test]
fn malformed_responses_are_errors() {
    for (status, headers) in [
        ("206 Partial Content", "Content-Range: bytes 7-9/18446744073709551615\r\nContent-Length: 3\r\n"),
        ("206 Partial Content", "Content-Range: bytes 0-18446744073709551615/*\r\nContent-Length: 3\r\n"),
        ("200 OK", "Content-Length: -1\r\n"),
        ("204 No Content", ""),
        ("299 What", "Content-Length: 3\r\n"),
        ("304 Not Modified", ""),
        ("999 None", "Content-Length: 0\r\n"),
        ("301 Moved", ""),
    ] {
        let server = RawServer::start(move |_, stream| {
            write_head(stream, status, headers)?;
            stream.write_all(b"abc")
        });
        let remote = server.open();
        let read = remote.read_range("file", 0..3);
        assert!(read.as_ref().is_err() || read.as_ref().is_ok_and(|bytes| bytes == b"abc"), "{status}: {read:?}");
        let _ = (remote.read("file"), remote.file_bytes("file"));
    }
}

#[test]
fn a_slow_server_can_be_interrupted_at_once() {
    let trickle = |_: &str, stream: &mut TcpStream| {
        write_head(stream, "200 OK", "Content-Length: 1000\r\n")?;
        loop {
            stream.write_all(b" ")?;
            stream.flush()?;
            sleep(Duration::from_millis(500));
        }
    };
    let silent = |_: &str, _: &mut TcpStream| {
        sleep(Duration::from_mins(10));
        Ok(())
    };
    for server in [RawServer::start(trickle), RawServer::start(silent)] {
        let requests = Arc::new(AtomicUsize::new(0));
        let stop = Arc::clone(&requests);
        let stop = Arc::new(move || stop.fetch_add(1, Ordering::Relaxed) > 3);
        let settings = RemoteSettings { stop: Some(stop), ..RemoteSettings::default() };
        let remote = RemoteFiles::open(&server.url(), settings).unwrap();
        let started = Instant::now();
        assert!(matches!(remote.read("zarr.json"), Err(Error::Interrupted)));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[test]
fn no_credential_follows_a_redirect_to_another_server() {
    let other = RawServer::start(|_, stream| {
        write_head(
            stream,
            "200 OK",
            "Content-Length: 2\r\nLast-Modified: Mon, 23 Nov 2026 19:05:38 GMT\r\nETag: \"x\"\r\n",
        )?;
        stream.write_all(b"{}")
    });
    let url = other.url();
    let redirecting = RawServer::start(move |request, stream| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        write_head(stream, "307 Temporary Redirect", &format!("Location: {url}{path}\r\nContent-Length: 0\r\n"))
    });
    // Redirects of web servers are followed, as the Hub sends them, without the token.
    let variables = [("HF_ENDPOINT", redirecting.url()), ("HF_TOKEN", "HUSH".to_owned())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let settings = RemoteSettings { variables, ..RemoteSettings::default() };
    let hub = RemoteFiles::open("hf://datasets/user/name", settings).unwrap();
    assert_eq!(hub.read("zarr.json").unwrap().unwrap(), b"{}");
    assert!(redirecting.requests.lock().unwrap().iter().any(|request| request.contains("HUSH")));
    // Requests to object stores have the session token in a header, so their redirects are not followed.
    let before = other.requests.lock().unwrap().len();
    let variables = [
        ("AWS_ENDPOINT_URL", redirecting.url()),
        ("AWS_ACCESS_KEY_ID", "KEYID".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "SECRET".to_owned()),
        ("AWS_SESSION_TOKEN", "HUSH".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let bucket =
        RemoteFiles::open("s3://bucket/x", RemoteSettings { variables, access: Access::Read, stop: None }).unwrap();
    let refusal = bucket.read("zarr.json").unwrap_err().to_string();
    assert!(refusal.contains("credentials are not sent there"), "{refusal}");
    let requests = other.requests.lock().unwrap();
    assert_eq!(requests.len(), before);
    assert!(requests.iter().all(|request| !request.contains("HUSH") && !request.contains("KEYID")), "{requests:?}");
}

#[test]
fn no_server_chooses_a_local_file() {
    let server = RawServer::start(|_, stream| {
        let info = r#"{"attributes":{"relabel":{"format_version":1,"manifest_sha256":""}},"zarr_format":3,"node_type":"group"}"#;
        write_head(stream, "200 OK", &format!("Content-Length: {}\r\n", info.len()))?;
        stream.write_all(info.as_bytes())
    });
    let refusal = StoreReader::open_files(Arc::new(server.open())).err().unwrap().to_string();
    assert!(refusal.contains("damaged"), "{refusal}");
}

#[test]
fn credentials_are_never_logged() {
    let server = RawServer::start(|_, stream| {
        let body = "<Error><Code>AccessDenied</Code><Message>not you</Message></Error>";
        write_head(stream, "403 Forbidden", &format!("Content-Length: {}\r\n", body.len()))?;
        stream.write_all(body.as_bytes())
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::common::relabel(folder.path());
    command.args(["status", "s3://bucket/x", "-vvv"]).env("AWS_ENDPOINT_URL", server.url());
    for (name, value) in
        [("AWS_ACCESS_KEY_ID", "HUSHID"), ("AWS_SECRET_ACCESS_KEY", "HUSHKEY"), ("AWS_SESSION_TOKEN", "HUSHTOKEN")]
    {
        command.env(name, value);
    }
    let ran = Ran::of(command.env("AWS_REGION", "us-east-1")).expect(1);
    assert!(server.requests.lock().unwrap().iter().any(|request| request.contains("HUSHTOKEN")));
    assert!(!ran.stderr.contains("HUSH") && ran.stderr.contains("403"), "{}", ran.stderr);
    let refused = Ran::of(crate::common::relabel(folder.path()).args(["status", "https://me:hush@host/x", "-vvv"]));
    let refused = refused.expect(2);
    assert!(!refused.stderr.contains("hush"), "{}", refused.stderr);
}
