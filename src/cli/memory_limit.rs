//! A limit on the memory of this process while a teacher is loaded and proved: a graph of 2 kB can ask for any amount.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit that holds until this is dropped. What goes beyond it is refused to ONNX Runtime, which reports it.
pub struct MemoryLimit {
    before: Rlimit,
}

impl MemoryLimit {
    /// Allows so many bytes more than the process has now. `None` where the system does not tell how many these are, or
    /// has no such limit.
    pub fn of_more(bytes: u64) -> Option<Self> {
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
        // A soft limit may always be raised to the hard one again.
        let _ = setrlimit(Resource::Data, self.before);
    }
}
