//! Servers that answer without end, a byte at a time, with lengths that nobody has, or by sending requests elsewhere.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use relabel::shared::error::Error;
use relabel::shared::remote::{Access, Remote, Settings};
use relabel::shared::store::{Files as _, StoreReader};

use crate::common::Ran;

/// A server that ends with the process. It answers each request by what it asks for, and notes all of them.
struct Odd {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Odd {
    fn start(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, noted) = (Arc::new(answer), Arc::clone(&asked));
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
        Self { port, asked }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn open(&self) -> Remote {
        Remote::open(&self.url(), Settings::default()).unwrap()
    }
}

fn begin(stream: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")
}

#[test]
fn an_absurd_length_is_refused_before_memory_is_allocated() {
    let odd = Odd::start(|_, stream| {
        begin(stream, "200 OK", &format!("Content-Length: {}\r\n", 1_u64 << 50))?;
        loop {
            stream.write_all(&vec![b' '; 1 << 16])?;
        }
    });
    let refusal = odd.open().read("zarr.json").unwrap_err().to_string();
    assert!(refusal.contains(&(1_u64 << 50).to_string()) && refusal.contains("at most"), "{refusal}");
    // Parts of a file that is only given whole are taken from its beginning, and the rest is not waited for.
    assert_eq!(odd.open().read_range("scores/c.0.0.0.0", 100..300).unwrap(), [b' '; 200]);
}

#[test]
fn endless_responses_are_cut_off() {
    let odd = Odd::start(|_, stream| {
        begin(stream, "200 OK", "Transfer-Encoding: chunked\r\n")?;
        loop {
            write!(stream, "10000\r\n")?;
            stream.write_all(&vec![b' '; 1 << 16])?;
            write!(stream, "\r\n")?;
        }
    });
    assert!(odd.open().read("zarr.json").is_err());
    let odd = Odd::start(|_, stream| {
        begin(stream, "403 Forbidden", "Transfer-Encoding: chunked\r\n")?;
        loop {
            write!(stream, "10000\r\n")?;
            stream.write_all(&vec![b' '; 1 << 16])?;
            write!(stream, "\r\n")?;
        }
    });
    let refusal = odd.open().read("zarr.json").unwrap_err().to_string();
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
        let odd = Odd::start(move |_, stream| {
            begin(stream, status, headers)?;
            stream.write_all(b"abc")
        });
        let remote = odd.open();
        let read = remote.read_range("file", 0..3);
        assert!(read.as_ref().is_err() || read.as_ref().is_ok_and(|bytes| bytes == b"abc"), "{status}: {read:?}");
        let _ = (remote.read("file"), remote.bytes_of("file"));
    }
}

#[test]
fn a_slow_server_can_be_interrupted_at_once() {
    let trickle = |_: &str, stream: &mut TcpStream| {
        begin(stream, "200 OK", "Content-Length: 1000\r\n")?;
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
    for odd in [Odd::start(trickle), Odd::start(silent)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let stop = Arc::clone(&asked);
        let stop = Arc::new(move || stop.fetch_add(1, Ordering::Relaxed) > 3);
        let settings = Settings { stop: Some(stop), ..Settings::default() };
        let remote = Remote::open(&odd.url(), settings).unwrap();
        let started = Instant::now();
        assert!(matches!(remote.read("zarr.json"), Err(Error::Interrupted)));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[test]
fn no_credential_follows_a_redirect_to_another_server() {
    let other = Odd::start(|_, stream| {
        begin(
            stream,
            "200 OK",
            "Content-Length: 2\r\nLast-Modified: Mon, 23 Nov 2026 19:05:38 GMT\r\nETag: \"x\"\r\n",
        )?;
        stream.write_all(b"{}")
    });
    let place = other.url();
    let redirecting = Odd::start(move |request, stream| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        begin(stream, "307 Temporary Redirect", &format!("Location: {place}{path}\r\nContent-Length: 0\r\n"))
    });
    // A web server may send a request elsewhere, as the Hub does; the token stays.
    let variables = [("HF_ENDPOINT", redirecting.url()), ("HF_TOKEN", "HUSH".to_owned())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let settings = Settings { variables, ..Settings::default() };
    let hub = Remote::open("hf://datasets/user/name", settings).unwrap();
    assert_eq!(hub.read("zarr.json").unwrap().unwrap(), b"{}");
    assert!(redirecting.asked.lock().unwrap().iter().any(|request| request.contains("HUSH")));
    // An object store's session token is in a header that any server would get, and is not sent elsewhere at all.
    let before = other.asked.lock().unwrap().len();
    let variables = [
        ("AWS_ENDPOINT_URL", redirecting.url()),
        ("AWS_ACCESS_KEY_ID", "KEYID".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "SECRET".to_owned()),
        ("AWS_SESSION_TOKEN", "HUSH".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let bucket = Remote::open("s3://bucket/x", Settings { variables, access: Access::Read, stop: None }).unwrap();
    let refusal = bucket.read("zarr.json").unwrap_err().to_string();
    assert!(refusal.contains("do not follow"), "{refusal}");
    let asked = other.asked.lock().unwrap();
    assert_eq!(asked.len(), before);
    assert!(asked.iter().all(|request| !request.contains("HUSH") && !request.contains("KEYID")), "{asked:?}");
}

#[test]
fn no_server_chooses_a_local_file() {
    let odd = Odd::start(|_, stream| {
        let info = r#"{"attributes":{"relabel":{"format_version":1,"manifest_sha256":""}},"zarr_format":3,"node_type":"group"}"#;
        begin(stream, "200 OK", &format!("Content-Length: {}\r\n", info.len()))?;
        stream.write_all(info.as_bytes())
    });
    let refusal = StoreReader::open_files(Arc::new(odd.open())).err().unwrap().to_string();
    assert!(refusal.contains("damaged"), "{refusal}");
}

#[test]
fn credentials_are_never_logged() {
    let odd = Odd::start(|_, stream| {
        let words = "<Error><Code>AccessDenied</Code><Message>not you</Message></Error>";
        begin(stream, "403 Forbidden", &format!("Content-Length: {}\r\n", words.len()))?;
        stream.write_all(words.as_bytes())
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::common::relabel(folder.path());
    command.args(["status", "s3://bucket/x", "-vvv"]).env("AWS_ENDPOINT_URL", odd.url());
    for (name, value) in
        [("AWS_ACCESS_KEY_ID", "HUSHID"), ("AWS_SECRET_ACCESS_KEY", "HUSHKEY"), ("AWS_SESSION_TOKEN", "HUSHTOKEN")]
    {
        command.env(name, value);
    }
    let ran = Ran::of(command.env("AWS_REGION", "us-east-1")).expect(1);
    assert!(odd.asked.lock().unwrap().iter().any(|request| request.contains("HUSHTOKEN")));
    assert!(!ran.stderr.contains("HUSH") && ran.stderr.contains("403"), "{}", ran.stderr);
    let refused = Ran::of(crate::common::relabel(folder.path()).args(["status", "https://me:hush@host/x", "-vvv"]));
    let refused = refused.expect(2);
    assert!(!refused.stderr.contains("hush"), "{}", refused.stderr);
}
