//! Words of a line as GRUB and a shell take them apart: blanks between words, quotes, backslashes. Nothing is expanded.

/// Variables that are empty on a system without a graphical boot or a tuned profile, where they mean nothing.
const EMPTY: [&str; 5] = [
    "$vt_handoff",
    "$tuned_params",
    "$tuned_initrd",
    "${vt_handoff}",
    "${extra_cmdline}",
];

/// `None` when a word needs a variable, a quote does not end, or more follows than one command.
pub(super) fn split(line: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '#' if word.is_none() => break,
            ';' | '{' | '}' | '|' | '&' | '<' | '>' if word.is_none() => return None,
            '\'' => quoted(&mut letters, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut letters, '"', word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(letters.next()?),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words.retain(|word| !EMPTY.contains(&word.as_str()));
    let is_plain = |word: &String| !word.contains('$') && !word.contains('`');
    words.iter().all(is_plain).then_some(words)
}

fn quoted(letters: &mut std::str::Chars<'_>, end: char, into: &mut String) -> Option<()> {
    loop {
        match letters.next()? {
            letter if letter == end => return Some(()),
            '\\' if end == '"' => into.push(letters.next()?),
            letter => into.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_as_its_loader_does() {
        let check = |line: &str, want: Option<&[&str]>| {
            let want = want.map(|words| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
            assert_eq!(split(line), want, "{line}");
        };
        check(
            "\tlinux\t/boot/vmlinuz  ro",
            Some(&["linux", "/boot/vmlinuz", "ro"]),
        );
        check(
            r#"a "b c" 'd "e' f\ g # h"#,
            Some(&["a", "b c", "d \"e", "f g"]),
        );
        check(
            r#"dyndbg="file x +p" y=''"#,
            Some(&["dyndbg=file x +p", "y="]),
        );
        check(
            "linux /v quiet $vt_handoff",
            Some(&["linux", "/v", "quiet"]),
        );
        check("linux /v root=$root", None);
        check("linux /v 'open", None);
        check("linux /v ; reboot", None);
        check("linux /v \\", None);
        check("", Some(&[]));
    }
}
