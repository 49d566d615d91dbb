//! Refuses work that does not fit in memory before anything is allocated.

use crate::error::{Error, Gib, Result};

/// An error if `bytes` are more than this machine has free; `what` starts the message.
pub fn require(bytes: u128, what: impl FnOnce() -> String) -> Result<()> {
    // Small work is not worth a look at the system.
    if bytes < 64 << 20 {
        return Ok(());
    }
    match free_bytes() {
        Some(free) if bytes > free => {
            Err(Error::Memory { what: what(), need_gib: Gib(bytes), free_gib: Gib(free) })
        }
        None if bytes > isize::MAX as u128 => Err(Error::Memory {
            what: what(),
            need_gib: Gib(bytes),
            free_gib: Gib(isize::MAX as u128),
        }),
        _ => Ok(()),
    }
}

/// Free memory in bytes, as far as the system tells: the machine's, or the control group's limit.
fn free_bytes() -> Option<u128> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = machine
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u128>()
        .ok()?
        << 10;
    let read = |name: &str| {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u128>().ok()
    };
    let group = read("memory.max")
        .zip(read("memory.current"))
        .map(|(limit, used)| limit.saturating_sub(used));
    Some(group.map_or(machine, |group| group.min(machine)))
}
