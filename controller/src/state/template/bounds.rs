//! What a template may say, so that it cannot grow without end while it is filled in.
//!
//! Instructions are counted (fuel) and the text is bounded as it is written, but neither sees a variable that doubles
//! itself. So texts are put together only where they are printed: a variable holds what was found, not what was made.

/// Longest tag without its texts, bytes: the renderer goes into an expression as deep as it is long, on a stack.
const MAX_TAG: usize = 400;
/// Blocks in blocks, and `elif`s of one template, for the same reason.
const MAX_NESTED: usize = 32;
/// Pieces put together with `~` or `+` in one template.
const MAX_JOINTS: usize = 64;
/// Statements that are known to stay small.
const STATEMENTS: [&str; 9] = [
    "if", "elif", "else", "endif", "for", "endfor", "set", "raw", "endraw",
];

/// Checks the tags of a template; its syntax is the renderer's business.
pub(super) fn check(template: &str) -> Result<(), String> {
    let mut rest = template;
    let mut sums = Sums::default();
    while let Some((kind, tag, after)) = next_tag(rest).map_err(str::to_owned)? {
        let before = template.len() - after.len();
        let line = || template[..before].matches('\n').count() + 1;
        sums.add(kind, tag)
            .map_err(|e| format!("line {}: {e}", line()))?;
        rest = match statement(kind, tag) {
            Some("raw") => after_raw(after),
            _ => after,
        };
    }
    Ok(())
}

/// What is counted over a whole template.
#[derive(Debug, Default)]
struct Sums {
    joints: usize,
    open: usize,
    elifs: usize,
}

impl Sums {
    fn add(&mut self, kind: Tag, tag: &str) -> Result<(), String> {
        self.joints += check_tag(kind, tag)?;
        match statement(kind, tag) {
            Some("if" | "for") => self.open += 1,
            Some("endif" | "endfor") => self.open = self.open.saturating_sub(1),
            Some("elif") => self.elifs += 1,
            Some(_) | None => {}
        }
        if self.joints > MAX_JOINTS {
            return Err(format!("it puts more than {MAX_JOINTS} pieces together"));
        }
        if self.open.max(self.elifs) > MAX_NESTED {
            return Err(format!(
                "it has more than {MAX_NESTED} blocks in each other, or more 'elif's"
            ));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Print,
    Statement,
}

/// The next tag, what is in it, and what follows it. One without an end is refused here: the renderer would read it first.
fn next_tag(text: &str) -> Result<Option<(Tag, &str, &str)>, &'static str> {
    let mut from = 0;
    while let Some(at) = text[from..].find('{').map(|at| from + at) {
        let (kind, end) = match text.as_bytes().get(at + 1) {
            Some(b'{') => (Tag::Print, "}}"),
            Some(b'%') => (Tag::Statement, "%}"),
            Some(b'#') => {
                let length = text[at + 2..].find("#}");
                from = at + 2 + length.ok_or("a comment has no end '#}'")? + 2;
                continue;
            }
            _ => {
                from = at + 1;
                continue;
            }
        };
        let inside = &text[at + 2..];
        let length = tag_end(inside, end).ok_or("a tag has no end '}}' or '%}'")?;
        return Ok(Some((kind, &inside[..length], &inside[length + 2..])));
    }
    Ok(None)
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
    if bare.len() > MAX_TAG {
        return Err(format!(
            "a tag has more than {MAX_TAG} characters beside its texts; take it apart with {{% set %}}"
        ));
    }
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
    if bare.contains(':') {
        return Err("there are no slices in these templates".to_owned());
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
            "{{ a[1:] }}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"{{ a ~ a }}".repeat(65)).is_err());
    }

    #[test]
    fn what_would_take_the_renderer_down_too_deep_is_refused() {
        for (once, end) in [("not ", "a"), ("(", ")"), ("-", "1"), ("a if b else ", "c")] {
            let deep = once.repeat(2000);
            for tag in ["{{ TAG }}", "{{ TAG", "{{ TAG '"] {
                let template = tag.replace("TAG", &format!("{deep}{end}"));
                assert!(check(&template).is_err(), "{once} in {tag}");
            }
        }
        for part in ["|upper", ".a", "[0]", " is defined", " and a", "()"] {
            assert!(
                check(&format!("{{{{ a{} }}}}", part.repeat(2000))).is_err(),
                "{part}"
            );
        }
        for block in [
            "{% if a %}",
            "{% for a in b %}",
            "{% if a %}{% elif a %}{% endif %}",
        ] {
            assert!(check(&block.repeat(2000)).is_err(), "{block}");
        }
        for open in ["{{", "{%", "{#", "{{ '", "{% if \"}}"] {
            assert!(check(open).is_err(), "{open}");
        }
    }
}
