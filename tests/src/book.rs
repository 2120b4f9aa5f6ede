//! A page of the documents, as somebody follows it: what is typed, and what is done between.
//!
//! Blocks fenced as `sh` are commands, one a line. Comments of one line, which no reader sees, say what a machine needs to know:
//!
//! * `<!-- act: … -->`: what the reader does there, in words that the test knows;
//! * `<!-- shows: … -->`: what the commands of the last block have printed;
//! * `<!-- file: NAME -->`: the next block is this file;
//! * `<!-- where: … -->`: the next block is typed at another place;
//! * `<!-- not run: … -->`: the next block is for reading only, and why.
//!
//! A block of any other kind is an error, so that none is overlooked.

use anyhow::{Context, Result, bail, ensure};

/// Where commands are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the controller's host.
    Controller,
    /// There too, while it reaches the archive of its distribution.
    Online,
    /// In a clone of the sources, on a host that builds.
    Builder,
}

/// One thing that the reader does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The page's line where it stands, counted from 1.
    pub line: usize,
    /// The line where its block begins; outside of blocks its own.
    pub block: usize,
    /// What it is.
    pub deed: Deed,
}

/// What a reader does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Types a command, a whole line of the shell.
    Type(String, Place),
    /// Writes a file: its name and text.
    Write(String, String),
    /// Does what the words say.
    Act(String),
    /// Finds this text in what the last block has printed.
    Find(String),
    /// Leaves the commands of a block alone, for this reason.
    Leave(Vec<String>, String),
}

/// The steps of a page.
///
/// # Errors
/// With the line of a block or comment that cannot be followed.
pub fn steps(page: &str) -> Result<Vec<Step>> {
    let mut reading = Reading::default();
    for (number, text) in (1..).zip(page.lines()) {
        let read = reading.line(number, text);
        read.with_context(|| format!("line {number}: {text:?}"))?;
    }
    ensure!(reading.block.is_none(), "a block does not end");
    ensure!(reading.next.is_none(), "a comment stands before no block");
    Ok(reading.steps)
}

#[derive(Default)]
struct Reading {
    steps: Vec<Step>,
    /// What a comment says of the block that comes.
    next: Option<Next>,
    /// The block that is open.
    block: Option<Block>,
}

enum Next {
    File(String),
    Where(Place),
    NotRun(String),
}

struct Block {
    begin: usize,
    kind: String,
    lines: Vec<(usize, String)>,
}

impl Reading {
    fn line(&mut self, number: usize, text: &str) -> Result<()> {
        if let Some(kind) = text.strip_prefix("```") {
            return match self.block.take() {
                Some(block) => self.end(block),
                None => {
                    self.block = Some(Block {
                        begin: number,
                        kind: kind.to_owned(),
                        lines: Vec::new(),
                    });
                    Ok(())
                }
            };
        }
        if let Some(block) = &mut self.block {
            block.lines.push((number, text.to_owned()));
            return Ok(());
        }
        ensure!(
            !text.starts_with("    "),
            "fence this block: as sh when it is typed, else as text"
        );
        match text.strip_prefix("<!-- ") {
            Some(comment) => self.comment(number, comment),
            None => Ok(()),
        }
    }

    fn comment(&mut self, line: usize, comment: &str) -> Result<()> {
        let comment = comment
            .strip_suffix(" -->")
            .context("the comment does not end here")?;
        let (word, rest) = comment.split_once(": ").context("no word and colon")?;
        let rest = rest.to_owned();
        let deed = match word {
            "act" => Deed::Act(rest),
            "shows" => Deed::Find(rest),
            _ => return self.announce(word, rest),
        };
        self.push(line, line, deed);
        Ok(())
    }

    fn announce(&mut self, word: &str, rest: String) -> Result<()> {
        let next = match (word, rest.as_str()) {
            ("file", _) => Next::File(rest),
            ("not run", _) => Next::NotRun(rest),
            ("where", "builder") => Next::Where(Place::Builder),
            ("where", "online") => Next::Where(Place::Online),
            _ => bail!("no such comment"),
        };
        ensure!(
            self.next.replace(next).is_none(),
            "two comments about one block"
        );
        Ok(())
    }

    fn end(&mut self, block: Block) -> Result<()> {
        let next = self.next.take();
        let place = match (block.kind.as_str(), next) {
            (_, Some(Next::File(name))) => {
                let lines = block.lines.iter().map(|(_, text)| format!("{text}\n"));
                self.push(block.begin, block.begin, Deed::Write(name, lines.collect()));
                return Ok(());
            }
            ("text", None) => return Ok(()),
            ("sh", None) => Place::Controller,
            ("sh", Some(Next::Where(place))) => place,
            ("sh", Some(Next::NotRun(why))) => {
                let commands = commands(block.lines).map(|(_, text)| text).collect();
                self.push(block.begin, block.begin, Deed::Leave(commands, why));
                return Ok(());
            }
            (kind, _) => bail!("a block of kind {kind:?}: it is neither typed nor written"),
        };
        for (line, text) in commands(block.lines) {
            self.push(line, block.begin, Deed::Type(text, place));
        }
        Ok(())
    }

    fn push(&mut self, line: usize, block: usize, deed: Deed) {
        self.steps.push(Step { line, block, deed });
    }
}

/// Lines without what the shell would not run.
fn commands(lines: Vec<(usize, String)>) -> impl Iterator<Item = (usize, String)> {
    let spoken = |text: &str| text.split("  #").next().unwrap_or(text).trim().to_owned();
    lines
        .into_iter()
        .map(move |(line, text)| (line, spoken(&text)))
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deeds(page: &str) -> Vec<Deed> {
        let read = steps(page).unwrap();
        read.into_iter().map(|step| step.deed).collect()
    }

    #[test]
    fn a_page_is_commands_files_and_acts_in_its_order() {
        let page = "# A page\n<!-- act: power on -->\n```sh\n# now\nls -l   # all\n\npwd\n```\n<!-- shows: total -->\n\
                    <!-- file: a.yaml -->\n```yaml\n#a\nb:\n  - c\n```\n```text\na picture\n```\n\
                    <!-- where: builder -->\n```sh\nmake\n```\n<!-- not run: it is long -->\n```sh\nmake test  # all\n```\n";
        let expected = [
            Deed::Act("power on".into()),
            Deed::Type("ls -l".into(), Place::Controller),
            Deed::Type("pwd".into(), Place::Controller),
            Deed::Find("total".into()),
            Deed::Write("a.yaml".into(), "#a\nb:\n  - c\n".into()),
            Deed::Type("make".into(), Place::Builder),
            Deed::Leave(vec!["make test".into()], "it is long".into()),
        ];
        assert_eq!(deeds(page), expected);
        let first = &steps(page).unwrap()[1];
        assert_eq!((first.line, first.block), (5, 3));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_its_line() {
        let cases = [
            ("a\n    sudo reboot\n", "fence this block"),
            ("```\nls\n```\n", "kind \"\""),
            ("```toml\na = 1\n```\n", "neither typed nor written"),
            ("```sh\nls\n", "does not end"),
            ("<!-- not run: because -->\nwords\n", "before no block"),
            ("<!-- where: there -->\n", "no such comment"),
            ("<!-- skip: it -->\n", "no such comment"),
            ("<!-- act: begins\nends -->\n", "does not end here"),
        ];
        for (page, expected) in cases {
            let error = format!("{:#}", steps(page).unwrap_err());
            assert!(error.contains(expected), "{page:?}: {error}");
        }
        let error = format!("{:#}", steps("one\n\n    two\n").unwrap_err());
        assert!(error.starts_with("line 3"), "{error}");
    }
}
