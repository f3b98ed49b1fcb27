//! Reads the body of a response with limits on its length and on the time that a server takes to send it.

use std::fmt;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::{Error, GetResult, Result};

/// Reads a body of at most `max_bytes`.
pub(super) async fn read_all(response: GetResult, max_bytes: u64) -> Result<Vec<u8>> {
    let announced = response.range.end.saturating_sub(response.range.start);
    if announced > max_bytes {
        return Err(refused(ResponseRefused::TooLong { bytes: announced, max_bytes }));
    }
    let bytes = read_range(response, 0, max_bytes.saturating_add(1)).await?;
    if bytes.len() as u64 > max_bytes {
        return Err(refused(ResponseRefused::TooLong { bytes: bytes.len() as u64, max_bytes }));
    }
    Ok(bytes)
}

/// Skips `skipped` bytes of a body and reads up to `bytes` of the following ones. Memory does not depend on the announced
/// length.
pub(super) async fn read_range(response: GetResult, skipped: u64, bytes: u64) -> Result<Vec<u8>> {
    let mut chunks = response.into_stream();
    let (mut to_skip, mut bytes_read) = (skipped, Vec::new());
    loop {
        let next = async {
            let mut received = 0;
            while received < MIN_BYTES && (bytes_read.len() as u64) < bytes {
                let Some(mut chunk) = chunks.try_next().await? else { return Ok(false) };
                received += chunk.len();
                let skip = to_skip.min(chunk.len() as u64);
                to_skip -= skip;
                chunk = chunk.slice(skip as usize..);
                let left = bytes - bytes_read.len() as u64;
                bytes_read.extend_from_slice(&chunk[..left.min(chunk.len() as u64) as usize]);
            }
            Ok((bytes_read.len() as u64) < bytes)
        };
        match tokio::time::timeout(TIMEOUT, next).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(bytes_read),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(refused(ResponseRefused::TooSlow)),
        }
    }
}

/// Reason that the rest of a response is not awaited. The request is not retried.
#[derive(Debug)]
pub(super) enum ResponseRefused {
    TooLong { bytes: u64, max_bytes: u64 },
    TooSlow,
}

impl fmt::Display for ResponseRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, max_bytes } => {
                write!(f, "the server offers {bytes} bytes, expected at most {max_bytes}")
            }
            Self::TooSlow => {
                let seconds = TIMEOUT.as_secs();
                write!(f, "the server sends fewer than {MIN_BYTES} bytes in {seconds} s")
            }
        }
    }
}

impl std::error::Error for ResponseRefused {}

fn refused(why: ResponseRefused) -> Error {
    Error::Generic { store: "network", source: Box::new(why) }
}

/// Bytes that a server must send within [`TIMEOUT`]. Without this limit, a server that sends a byte a second would never
/// end.
const MIN_BYTES: usize = 4096;
const TIMEOUT: Duration = Duration::from_secs(30);
