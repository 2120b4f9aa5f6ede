//! Processors: the model from `/proc/cpuinfo`, sockets and cores from the topology below `/sys`.

use std::collections::BTreeSet;
use std::path::Path;

use mesh_proto::facts::{Cpu, normalised};

use super::read;

/// `/proc/cpuinfo` of a 2-socket, 512-thread server is about 900 KB.
const CPUINFO_LIMIT_BYTES: u64 = 4 << 20;

/// Reads what is online.
pub(super) fn gather(root: &Path) -> Cpu {
    let cpuinfo =
        read::text_up_to(&root.join("proc/cpuinfo"), CPUINFO_LIMIT_BYTES).unwrap_or_default();
    let (sockets, cores) = topology(root);
    Cpu {
        model: model(&cpuinfo),
        sockets,
        cores,
        threads: threads(&cpuinfo),
    }
}

fn fields(cpuinfo: &str) -> impl Iterator<Item = (&str, &str)> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value))
}

fn model(cpuinfo: &str) -> Option<String> {
    fields(cpuinfo)
        .find(|(key, _)| *key == "model name")
        .and_then(|(_, value)| normalised(value))
}

/// arm64 has "processor" lines too; saturating because a text file cannot be trusted to be short.
fn threads(cpuinfo: &str) -> u32 {
    let count = fields(cpuinfo)
        .filter(|(key, _)| *key == "processor")
        .count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Sockets and cores, counted by the threads that name the same package, and the same siblings. Core ids will not do:
/// they repeat between packages and clusters.
fn topology(root: &Path) -> (u32, u32) {
    let (mut packages, mut cores) = (BTreeSet::new(), BTreeSet::new());
    for (name, path) in read::entries(&root.join("sys/devices/system/cpu")) {
        let is_thread = name
            .strip_prefix("cpu")
            .is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
        if !is_thread {
            continue;
        }
        packages.extend(read::text(&path.join("topology/physical_package_id")));
        cores.extend(read::text(&path.join("topology/thread_siblings_list")));
    }
    let count = |set: &BTreeSet<String>| u32::try_from(set.len()).unwrap_or(u32::MAX);
    (count(&packages), count(&cores))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn threads_are_counted_and_the_model_is_the_first() {
        let text =
            "processor\t: 0\nmodel name\t: QEMU TCG CPU \n\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(model(text).as_deref(), Some("QEMU TCG CPU"));
        assert_eq!(threads(text), 2);
    }

    #[test]
    fn two_sockets_of_one_core_with_two_threads_are_counted_as_such() {
        let root = tempfile::tempdir().unwrap();
        let cpus = root.path().join("sys/devices/system/cpu");
        for (cpu, package, siblings) in [
            (0, "0", "0-1"),
            (1, "0", "0-1"),
            (2, "1", "2-3"),
            (3, "1", "2-3"),
        ] {
            let folder = cpus.join(format!("cpu{cpu}/topology"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("physical_package_id"), package).unwrap();
            fs::write(folder.join("thread_siblings_list"), siblings).unwrap();
        }
        // cpu4 is offline: it has no topology; cpufreq is no processor.
        fs::create_dir_all(cpus.join("cpu4")).unwrap();
        fs::create_dir_all(cpus.join("cpufreq")).unwrap();
        let cpu = gather(root.path());
        assert_eq!((cpu.sockets, cpu.cores), (2, 2));
    }
}
