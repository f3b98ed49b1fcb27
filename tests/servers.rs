use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use relabel::shared::remote::{Access, RemoteSettings};

use crate::common::{data, hermetic, repository};

/// A server that ends with the test.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts a web server of a folder.
    pub fn folder(folder: &Path, args: &[&str]) -> Self {
        Self::start(&["folder", folder.to_str().unwrap()], args)
    }

    /// Starts a proxy of another server that injects faults.
    pub fn faults(upstream: &Self) -> Self {
        Self::start(&["faults", &upstream.url()], &[])
    }

    /// Starts an S3-compatible server with a bucket `bucket`.
    pub fn s3() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = hermetic(repository(".venv/bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_mins(1), "the server does not start");
            sleep(Duration::from_millis(50));
        }
        assert_eq!(server.request("PUT", "/bucket", "").0, 200);
        server
    }

    fn start(command: &[&str], more: &[&str]) -> Self {
        let mut child = hermetic(repository(".venv/bin/python"))
            .arg(data("../python/server.py"))
            .args(command)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a request. Returns status and body of the response.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}",
            self.port
        )
        .unwrap();
        let mut response = String::new();
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut response).unwrap();
        let status = response.split(' ').nth(1).unwrap().parse().unwrap();
        let mut bytes = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                bytes = length.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; bytes];
        reader.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// Sets the faults that the proxy injects.
    pub fn inject_faults(&self, faults: &str) {
        assert_eq!(self.request("POST", "/disturb", faults).0, 200);
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<String> {
        serde_json::from_str(&self.request("GET", "/requests", "").1).unwrap()
    }

    /// Environment variables for the S3-compatible server.
    pub fn variables(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_ACCESS_KEY_ID", "AKIAOFTHETESTS".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "SECRETKEY".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Settings for the S3-compatible server.
    pub fn settings(&self, access: Access) -> RemoteSettings {
        RemoteSettings { variables: self.variables(), access, stop: None }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
