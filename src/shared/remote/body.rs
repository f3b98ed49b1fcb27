//! The body of an answer, read with a bound: of bytes, and of the time that a server takes for some of them.

use std::fmt;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::{Error, GetResult, Result};

/// Reads all of a file that has at most `most_bytes`.
pub(super) async fn all(answer: GetResult, most_bytes: u64) -> Result<Vec<u8>> {
    let promised = answer.range.end.saturating_sub(answer.range.start);
    if promised > most_bytes {
        return Err(refused(Refused::TooLong { bytes: promised, most_bytes }));
    }
    let bytes = part(answer, 0, most_bytes.saturating_add(1)).await?;
    if bytes.len() as u64 > most_bytes {
        return Err(refused(Refused::TooLong { bytes: bytes.len() as u64, most_bytes }));
    }
    Ok(bytes)
}

/// Reads up to `bytes` of a body behind its first `skipped`, and no more of it. Memory does not grow with what is promised.
pub(super) async fn part(answer: GetResult, skipped: u64, bytes: u64) -> Result<Vec<u8>> {
    let mut pieces = answer.into_stream();
    let (mut to_skip, mut part) = (skipped, Vec::new());
    loop {
        let some = async {
            let mut came = 0;
            while came < LEAST_BYTES && (part.len() as u64) < bytes {
                let Some(mut piece) = pieces.try_next().await? else { return Ok(false) };
                came += piece.len();
                let skip = to_skip.min(piece.len() as u64);
                to_skip -= skip;
                piece = piece.slice(skip as usize..);
                let left = bytes - part.len() as u64;
                part.extend_from_slice(&piece[..left.min(piece.len() as u64) as usize]);
            }
            Ok((part.len() as u64) < bytes)
        };
        match tokio::time::timeout(PATIENCE, some).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Ok(part),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(refused(Refused::TooSlow)),
        }
    }
}

/// Why the rest of an answer is not waited for. It is not asked for again.
#[derive(Debug)]
pub(super) enum Refused {
    TooLong { bytes: u64, most_bytes: u64 },
    TooSlow,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, most_bytes } => {
                write!(f, "the server offers {bytes} bytes, and at most {most_bytes} were expected")
            }
            Self::TooSlow => {
                let seconds = PATIENCE.as_secs();
                write!(f, "the server sends fewer than {LEAST_BYTES} bytes in {seconds} seconds")
            }
        }
    }
}

impl std::error::Error for Refused {}

fn refused(why: Refused) -> Error {
    Error::Generic { store: "network", source: Box::new(why) }
}

/// So many bytes come in so much time, or the server is given up: one that sends a byte a second would never end.
const LEAST_BYTES: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);
