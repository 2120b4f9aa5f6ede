//! Checksums that a mirror lists beside its files: Debian's and Ubuntu's `SHA256SUMS`, Fedora's `.treeinfo`.

use super::{FetchError, Limits, Url, download::text};
use crate::assets::Sha256Hex;

/// Longest list that is read, bytes; Debian's has 40 kB.
const MAX_LIST: u64 = 4 << 20;
/// Folders above a file that may hold its list: `images/` is the fourth above Debian's `linux`.
const MAX_UP: usize = 5;

/// The forms of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Lines of `SUM  PATH` or `SUM *PATH`.
    Sha256sums,
    /// Its section `[checksums]`: `PATH = sha256:SUM`.
    Treeinfo,
}

impl List {
    fn file(self) -> &'static str {
        match self {
            Self::Sha256sums => "SHA256SUMS",
            Self::Treeinfo => ".treeinfo",
        }
    }

    fn find(self, list: &str, path: &str) -> Option<Sha256Hex> {
        match self {
            Self::Sha256sums => in_sha256sums(list, path),
            Self::Treeinfo => in_treeinfo(list, path),
        }
    }
}

/// The sum that the nearest list above `url` has for it; `None`: no list names it.
pub(super) async fn listed(
    url: &Url,
    list: List,
    limits: &Limits,
) -> Result<Option<Sha256Hex>, FetchError> {
    let path = url.path().split('?').next().unwrap_or_default();
    for (folder, rest) in folders(path) {
        let Ok(at) = url.join(&format!("{folder}{}", list.file())) else {
            continue;
        };
        if let Some(text) = text(&at, MAX_LIST, limits).await?
            && let Some(sum) = list.find(&text, rest)
        {
            return Ok(Some(sum));
        }
    }
    Ok(None)
}

/// The folders above a path, nearest first, each with the path below it: `/a/b/c` → (`/a/b/`, `c`), (`/a/`, `b/c`) …
fn folders(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let ends = path.rmatch_indices('/').map(|(at, _)| at + 1);
    ends.take(MAX_UP).map(|at| path.split_at(at))
}

fn in_sha256sums(list: &str, path: &str) -> Option<Sha256Hex> {
    list.lines().find_map(|line| {
        let (sum, name) = line.split_once(' ')?;
        let name = name.trim_start_matches([' ', '*']);
        let name = name.strip_prefix("./").unwrap_or(name);
        (name.trim_end() == path).then(|| sum.parse().ok())?
    })
}

fn in_treeinfo(list: &str, path: &str) -> Option<Sha256Hex> {
    let lines = list.lines().map(str::trim);
    let section = lines
        .skip_while(|l| *l != "[checksums]")
        .skip(1)
        .take_while(|l| !l.starts_with('['));
    section
        .filter_map(|l| l.split_once('='))
        .find_map(|(name, sum)| {
            let sum = sum.trim().strip_prefix("sha256:")?;
            (name.trim() == path).then(|| sum.parse().ok())?
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_found_in_the_forms_that_mirrors_write() {
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        let debian = format!("{a}  ./netboot/x/linux\n{b}  ./netboot/x/linux.old\n");
        let ubuntu = format!("{b} *x.iso\n{a} *netboot/linux\r\n");
        let find = |list: &str, path| in_sha256sums(list, path).map(String::from);
        assert_eq!(find(&debian, "netboot/x/linux"), Some(a.clone()));
        assert_eq!(find(&ubuntu, "netboot/linux"), Some(a.clone()));
        assert_eq!(find(&debian, "linux"), None, "another folder's file");
        assert_eq!(find("<html>not a list</html>", "linux"), None);
        assert_eq!(find(&format!("{} linux", "zz".repeat(32)), "linux"), None);
        let fedora = format!(
            "[general]\nx = sha256:{b}\n[checksums]\nimages/vmlinuz = sha256:{a}\n[z]\ny = sha256:{b}"
        );
        assert_eq!(
            in_treeinfo(&fedora, "images/vmlinuz").map(String::from),
            Some(a)
        );
        assert_eq!(in_treeinfo(&fedora, "y"), None);
        assert_eq!(in_treeinfo(&fedora, "x"), None);
    }

    #[test]
    fn lists_are_looked_for_from_the_file_upwards() {
        let found: Vec<_> = folders("/a/b/c").collect();
        assert_eq!(found, [("/a/b/", "c"), ("/a/", "b/c"), ("/", "a/b/c")]);
        assert_eq!(folders("/1/2/3/4/5/6/7/8").count(), MAX_UP);
    }
}
