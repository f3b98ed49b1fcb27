//! Limits of the host: memory for loading a teacher, free disk space.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit that is lifted on drop. ONNX Runtime reports allocations that exceed it.
pub struct MemoryLimit {
    before: Rlimit,
}

impl MemoryLimit {
    /// Limits the process to `bytes` more than it uses now. Returns `None` on systems without such a limit.
    pub fn above_current(bytes: u64) -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
        let now = line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10;
        let before = getrlimit(Resource::Data);
        let wanted = now.saturating_add(bytes);
        let current = before.current.map_or(wanted, |current| current.min(wanted));
        setrlimit(Resource::Data, Rlimit { current: Some(current), maximum: before.maximum }).ok()?;
        Some(Self { before })
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A soft limit can always be raised up to the hard limit.
        let _ = setrlimit(Resource::Data, self.before);
    }
}

/// Returns the free space at the location of the store, which need not exist.
pub fn free_bytes(out: &Path) -> Option<u64> {
    let absolute = std::path::absolute(out).ok()?;
    let existing = absolute.ancestors().find(|folder| folder.exists())?;
    let space = rustix::fs::statvfs(existing).ok()?;
    Some(space.f_bavail * space.f_frsize)
}
