//! Where a browser goes once its person has signed in: a path of our own and nothing else, or a link that looks like ours would
//! lead people who just signed in to somebody else's page (an open redirect).

use crate::http::error::{Code, Problem};

/// Longest path, bytes: the web app's addresses with their filters have some hundred.
const MAX: usize = 1_024;

/// A text that is no path of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotOurs;

impl From<NotOurs> for Problem {
    fn from(_: NotOurs) -> Self {
        let text = format!(
            "`return` is no path of this controller: it begins with one '/', has at most {MAX} characters, and of signs only those of a path, a query and a fragment"
        );
        Self::new(Code::BadValue, text)
    }
}

/// `text`, when it is such a path. Browsers read `//` and `/\` as the beginning of another host, and drop line breaks.
pub(super) fn path(text: &str) -> Result<String, NotOurs> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~?&=%#+:@,!*()".contains(&b);
    let own = text.starts_with('/') && !text.starts_with("//");
    match own && text.len() <= MAX && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(NotOurs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_our_own_are_gone_to() {
        for good in [
            "/",
            "/#/machines/web1?tab=log",
            "/api/docs",
            "/#/machines?q=a%20b&state=seen",
        ] {
            assert_eq!(path(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "evil.lab",
            "https://evil.lab",
            "//evil.lab",
            "/\\evil.lab",
            "/\t/evil.lab",
            "/\n",
            "/\"><script>",
            "/';alert(1)",
            "/a b",
            "/ü",
            "javascript:alert(1)",
            "#/fleet",
            &format!("/{}", "a".repeat(MAX)),
        ] {
            assert_eq!(path(bad), Err(NotOurs), "{bad:?}");
        }
    }
}
