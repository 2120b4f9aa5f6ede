//! What a template may say, so that it cannot grow without end while it is filled in.
//!
//! Instructions are counted (fuel) and the text is bounded as it is written, but neither sees a variable that doubles
//! itself. So texts are put together only where they are printed: a variable holds what was found, not what was made.

/// Pieces put together with `~` or `+` in one template.
const MAX_JOINTS: usize = 64;
/// Statements that are known to stay small.
const STATEMENTS: [&str; 9] = [
    "if", "elif", "else", "endif", "for", "endfor", "set", "raw", "endraw",
];

/// Checks the tags of a template; its syntax is the renderer's business.
pub(super) fn check(template: &str) -> Result<(), String> {
    let mut rest = template;
    let mut joints = 0;
    while let Some((kind, tag, after)) = next_tag(rest) {
        let line = || {
            template[..template.len() - after.len()]
                .matches('\n')
                .count()
                + 1
        };
        joints += check_tag(kind, tag).map_err(|e| format!("line {}: {e}", line()))?;
        if joints > MAX_JOINTS {
            return Err(format!("it puts more than {MAX_JOINTS} pieces together"));
        }
        rest = match statement(kind, tag) {
            Some("raw") => after_raw(after),
            _ => after,
        };
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Print,
    Statement,
}

/// The next tag, what is in it with its texts taken out, and what follows it.
fn next_tag(text: &str) -> Option<(Tag, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('{')?;
        let inside = text.get(at + 2..)?;
        let (kind, end) = match text.as_bytes().get(at + 1) {
            Some(b'{') => (Tag::Print, "}}"),
            Some(b'%') => (Tag::Statement, "%}"),
            Some(b'#') => {
                from = at + 2 + inside.find("#}")? + 2;
                continue;
            }
            _ => {
                from = at + 1;
                continue;
            }
        };
        let length = tag_end(inside, end)?;
        return Some((kind, &inside[..length], &inside[length + 2..]));
    }
}

/// Where the tag ends: its end inside a quoted text does not count.
fn tag_end(inside: &str, end: &str) -> Option<usize> {
    let mut quoted = None;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match quoted {
            _ if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(quote) if c == quote => quoted = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quoted = Some(c),
            None if inside[at..].starts_with(end) => return Some(at),
            None => {}
        }
    }
    None
}

fn after_raw(text: &str) -> &str {
    let mut rest = text;
    while let Some(at) = rest.find("{%") {
        rest = &rest[at + 2..];
        let word = rest.trim_start_matches(['-', '+']).trim_start();
        if word.starts_with("endraw") {
            return rest;
        }
    }
    ""
}

fn statement(kind: Tag, tag: &str) -> Option<&str> {
    let words = || tag.trim_start_matches(['-', '+']).split_whitespace();
    (kind == Tag::Statement).then(|| {
        words()
            .next()
            .unwrap_or_default()
            .trim_end_matches(['-', '+'])
    })
}

/// How many pieces it puts together.
fn check_tag(kind: Tag, tag: &str) -> Result<usize, String> {
    let bare = without_texts(tag);
    if let Some(word) = statement(kind, tag) {
        if !STATEMENTS.contains(&word) {
            return Err(format!("'{word}' is no statement of these templates"));
        }
        if word == "set" && !bare.contains('=') {
            return Err("write {% set NAME = VALUE %}".to_owned());
        }
        if bare.split_whitespace().any(|w| w == "recursive") {
            return Err("a loop cannot be recursive".to_owned());
        }
    }
    let trimmed = bare.trim_matches(['-', '+', ' ']);
    let joints = trimmed.matches(['~', '+']).count();
    if kind == Tag::Statement && joints > 0 {
        return Err("texts are put together where they are printed, not in a statement".to_owned());
    }
    if trimmed.replace("**", "").contains('*') {
        return Err("there is no '*' in these templates".to_owned());
    }
    check_lists(&bare)?;
    Ok(joints)
}

/// The tag with every quoted text replaced by `''`.
fn without_texts(tag: &str) -> String {
    let mut bare = String::new();
    let (mut quoted, mut escaped) = (None, false);
    for c in tag.chars() {
        match quoted {
            _ if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(quote) if c == quote => quoted = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => {
                quoted = Some(c);
                bare.push_str("''");
            }
            None => bare.push(c),
        }
    }
    bare
}

/// A list is written out of texts and numbers: one of variables can double.
fn check_lists(bare: &str) -> Result<(), String> {
    let refused = || Err("a list or map here holds only texts and numbers".to_owned());
    if bare.contains('{') {
        return refused();
    }
    let mut before = ' ';
    let mut open = Vec::new();
    for c in bare.chars() {
        let continues = before.is_alphanumeric() || matches!(before, '_' | ']' | ')' | '\'');
        match c {
            // A subscript or a call follows a name; anything else begins a list or a group.
            '[' | '(' => open.push((c, continues)),
            ']' | ')' => drop(open.pop()),
            ',' if matches!(open.last(), Some(('(', false)) | None) && !bare.contains(" in ") => {
                return refused();
            }
            c if c.is_alphabetic() && open.contains(&('[', false)) => return refused(),
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_templates_need_is_allowed() {
        for good in [
            "",
            "no template at all, $HOME ${x} {# nothing #} \t end { { %}",
            "{{ machine.facts.memory.bytes // 1024 ** 3 }} {{ a ~ '-' ~ b }} {{ file('x') }}",
            "{% set d = machine.facts.disks | rejectattr('removable') | first %}{{ d.name }}",
            "{% for p in ['a', \"b, c\"] %}{{ p }}{% endfor %}",
            "{% for k, v in machine.facts %}{% endfor %}",
            "{%- if a is defined and a[0].x == 3 -%}x{%- else -%}y{%- endif -%}",
            "{% raw %}{{ a * b }}{% macro x() %}{% endraw %}{{ '}} * ~' }}",
            "{{ 'it\\'s * ~' }}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_can_double_itself_is_refused() {
        for bad in [
            "{% set a = a ~ a %}",
            "{% set a = a + a %}",
            "{% set a %}{{ a }}{{ a }}{% endset %}",
            "{% set a = [a, a] %}",
            "{% set a = (a, a) %}",
            "{% set a = a, a %}",
            "{% for b in [[a, a]] %}{% endfor %}",
            "{% for b in [x] recursive %}{{ loop(b) }}{% endfor %}",
            "{% filter upper %}x{% endfilter %}",
            "{% with b = a %}{% endwith %}",
            "{% macro x() %}{% endmacro %}",
            "{{ 'x' * 100000000 }}",
            "{{ {'a': a} }}",
            "{% raw %}{% endraw %}{% set a = a ~ a %}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"{{ a ~ a }}".repeat(65)).is_err());
    }
}
