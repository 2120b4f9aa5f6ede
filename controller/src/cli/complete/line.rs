//! A line that is being typed, as bash has it.

/// Its words up to its end; the last one is what is being typed, and empty behind a blank. Quotes and backslashes are taken off.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let open: &mut String = match (letter, quote) {
            (' ' | '\t', None) => {
                words.extend(word.take());
                continue;
            }
            _ => word.get_or_insert_default(),
        };
        match (letter, quote) {
            ('\\', None | Some('"')) => open.extend(letters.next()),
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(mark)) if mark == letter => quote = None,
            _ => open.push(letter),
        }
    }
    words.push(word.unwrap_or_default());
    words
}

/// How many bytes of a word bash has behind its last cut, and does not want again.
pub(super) fn cut(word: &str, breaks: &str) -> usize {
    // Quotes and blanks are among them, and are not in the word any more.
    let cuts = |c: char| breaks.contains(c) && matches!(c, ':' | '=' | '@');
    word.rfind(cuts).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_as_the_shell_does() {
        for (line, expected) in [
            ("enforcer ", &["enforcer", ""][..]),
            ("enforcer  machines sh", &["enforcer", "machines", "sh"]),
            (
                "enforcer x --query 'r7 de",
                &["enforcer", "x", "--query", "r7 de"],
            ),
            (r#"enforcer "a b"c d\ e "#, &["enforcer", "a bc", "d e", ""]),
            ("", &[""]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn what_bash_has_already_is_not_given_again() {
        let breaks = " \t\n\"'><=;|&(:";
        assert_eq!(cut("52:54:00", breaks), 6);
        assert_eq!(cut("--output=js", breaks), 9);
        assert_eq!(cut("web1", breaks), 0);
        assert_eq!(cut("52:54", " "), 0, "somebody took the colon out");
    }
}
