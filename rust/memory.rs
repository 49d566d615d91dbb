//! Memory that may be refused: work is held against what is free before anything is allocated, and
//! whatever grows with the input is allocated so that a refusal is an error.

use std::path::{Component, Path};

use crate::error::{Error, Gib, Result};

/// Smaller work is not worth a look at the system.
const SMALL: u128 = 16 << 20;
/// Address space that a thread asks for: its stack and its heap.
const THREAD_BYTES: u128 = 8 << 20;

/// An error if `bytes` are more than this process may have now; `what` starts the message.
pub fn require(bytes: u128, what: impl FnOnce() -> String) -> Result<()> {
    if bytes < SMALL {
        return Ok(());
    }
    held_against(free_bytes(Path::new("/")).unwrap_or(isize::MAX as u128), bytes, what)
}

/// An error if the process's own limits do not leave what `threads` more threads ask for.
///
/// Where that is missing, the system's library may end the process instead of refusing a thread.
pub fn require_threads(threads: usize) -> Result<()> {
    let Some(free) = limits_free(Path::new("/")).min() else { return Ok(()) };
    held_against(free, threads as u128 * THREAD_BYTES, || {
        format!("the stack and heap of {threads} more thread(s)")
    })
}

fn held_against(free: u128, bytes: u128, what: impl FnOnce() -> String) -> Result<()> {
    if bytes <= free {
        return Ok(());
    }
    Err(Error::Memory { what: what(), need_gib: Gib(bytes), free_gib: Gib(free) })
}

/// Makes room in a vector.
pub fn reserve<T>(vector: &mut Vec<T>, more: usize) -> Result<()> {
    let bytes = more as u128 * size_of::<T>() as u128;
    vector.try_reserve_exact(more).map_err(|_| Error::Refused(Gib(bytes)))
}

/// Gives a vector this length; new entries are `value`.
pub fn resize<T: Clone>(vector: &mut Vec<T>, length: usize, value: T) -> Result<()> {
    reserve(vector, length.saturating_sub(vector.len()))?;
    vector.resize(length, value);
    Ok(())
}

/// A vector of `length` times `value`.
pub fn filled<T: Clone>(length: usize, value: T) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    resize(&mut vector, length, value)?;
    Ok(vector)
}

/// A vector of items of which it is known how many there are.
pub fn collected<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let items = items.into_iter();
    let mut vector = Vec::new();
    reserve(&mut vector, items.size_hint().0)?;
    vector.extend(items);
    Ok(vector)
}

/// Free memory in bytes, as far as the system tells: the machine's, what every control group above
/// the process leaves, and what its own limits do. `root` is where the system's files lie.
fn free_bytes(root: &Path) -> Option<u128> {
    let table = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let machine = field(&table, "MemAvailable:")? << 10;
    let groups = groups_free(root).into_iter().flatten();
    groups.chain(limits_free(root)).chain([machine]).min()
}

/// The number in the line that starts with `name`.
fn field(table: &str, name: &str) -> Option<u128> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A generation of control groups: where it is mounted, the files of limit and usage, and the field
/// of `memory.stat` with the cache that is given up on demand.
type Files = (&'static str, [&'static str; 2], &'static str);
const SECOND: Files = ("sys/fs/cgroup", ["memory.max", "memory.current"], "inactive_file ");
const FIRST: Files = (
    "sys/fs/cgroup/memory",
    ["memory.limit_in_bytes", "memory.usage_in_bytes"],
    "total_inactive_file ",
);

/// The least that a group leaves, by hierarchy: a limit holds for all groups below it.
fn groups_free(root: &Path) -> Vec<Option<u128>> {
    let table = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let hierarchy = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (mount, files, cache) = match controllers {
            "" => SECOND,
            names if names.split(',').any(|name| name == "memory") => FIRST,
            _ => return None,
        };
        // Inside a container the path may be the host's: what is not there is passed over, and the
        // mount itself is the container's group.
        let steps = Path::new(path).components();
        let steps = steps.filter(|step| matches!(step, Component::Normal(_)));
        let mut group = root.join(mount);
        let mut least = group_free(&group, files, cache);
        for step in steps {
            group.push(step);
            least = least.into_iter().chain(group_free(&group, files, cache)).min();
        }
        least
    };
    table.lines().map(hierarchy).collect()
}

/// What one group leaves, if it has a limit.
fn group_free(group: &Path, [limit, usage]: [&str; 2], cache: &str) -> Option<u128> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u128>().ok();
    let reclaimable = read("memory.stat").and_then(|table| field(&table, cache)).unwrap_or(0);
    let used = number(usage)?.saturating_sub(reclaimable);
    Some(number(limit)?.saturating_sub(used))
}

/// What the process's limits on its address space and its data leave.
#[cfg(unix)]
fn limits_free(root: &Path) -> impl Iterator<Item = u128> {
    let table = std::fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let free = move |(resource, name)| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call writes one `rlimit`.
        let known = unsafe { libc::getrlimit(resource, &mut limit) } == 0;
        let used = field(&table, name)? << 10;
        (known && limit.rlim_cur != libc::RLIM_INFINITY)
            .then(|| (limit.rlim_cur as u128).saturating_sub(used))
    };
    [(libc::RLIMIT_AS, "VmSize:"), (libc::RLIMIT_DATA, "VmData:")].into_iter().filter_map(free)
}

#[cfg(not(unix))]
fn limits_free(_: &Path) -> impl Iterator<Item = u128> {
    std::iter::empty()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A made-up system of these files; 1000 kB are free, and the process has no limits.
    fn free(files: &[(&str, &str)]) -> Option<u128> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("qnnw-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let root: PathBuf = std::env::temp_dir().join(name);
        for (path, text) in [("proc/meminfo", "MemAvailable:    1000 kB\n")].iter().chain(files) {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let free = free_bytes(&root);
        std::fs::remove_dir_all(root).unwrap();
        free
    }

    #[test]
    fn without_groups_it_is_the_machines() {
        assert_eq!(free(&[]), Some(1_024_000));
        assert_eq!(free(&[("proc/self/cgroup", "0::/\n")]), Some(1_024_000));
        assert_eq!(free_bytes(Path::new("/nowhere")), None);
    }

    #[test]
    fn every_group_above_counts_and_cache_is_free() {
        let mut files = vec![
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "900000\n"),
            ("sys/fs/cgroup/a/memory.current", "500000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "300000\n"),
        ];
        assert_eq!(free(&files), Some(400_000));
        files.push(("sys/fs/cgroup/a/memory.stat", "anon 1\nfile 7\ninactive_file 100000\n"));
        assert_eq!(free(&files), Some(500_000));
        files.push(("sys/fs/cgroup/a/b/memory.max", "310000\n"));
        assert_eq!(free(&files), Some(10_000));
        files.push(("sys/fs/cgroup/a/b/memory.current", "320000\n"));
        assert_eq!(free(&files), Some(0));
    }

    #[test]
    fn a_containers_group_is_its_mount() {
        let limit = ("sys/fs/cgroup/memory.max", "700000\n");
        let used = ("sys/fs/cgroup/memory.current", "100000\n");
        for path in ["0::/\n", "0::/docker/0123\n", "0::/../other\n"] {
            assert_eq!(free(&[("proc/self/cgroup", path), limit, used]), Some(600_000));
        }
    }

    #[test]
    fn the_first_generation_counts_too() {
        let files = [
            ("proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/a:c/b\n1:name=systemd:/\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5000000\n"),
            ("sys/fs/cgroup/memory/a:c/memory.limit_in_bytes", "800000\n"),
            ("sys/fs/cgroup/memory/a:c/memory.usage_in_bytes", "700000\n"),
            ("sys/fs/cgroup/memory/a:c/memory.stat", "cache 9\ntotal_inactive_file 250000\n"),
            ("sys/fs/cgroup/cpu/x/memory.limit_in_bytes", "1\n"),
            ("sys/fs/cgroup/cpu/x/memory.usage_in_bytes", "0\n"),
        ];
        assert_eq!(free(&files), Some(350_000));
    }

    #[test]
    fn what_the_system_cannot_give_is_an_error() {
        for length in [usize::MAX / 16, usize::MAX] {
            assert!(matches!(filled(length, 0u64), Err(Error::Refused(_))));
            assert!(matches!(collected((0..length).map(|_| 0u64)), Err(Error::Refused(_))));
        }
        assert_eq!(collected([1, 2, 3]), Ok(vec![1, 2, 3]));
        assert_eq!(filled(2, 7), Ok(vec![7, 7]));
    }
}
