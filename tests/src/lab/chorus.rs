//! Many programs' logs, listened to together: how many have said a text, and how long that took.
//!
//! The one way in which every mesh is measured, ours and others': a member knows a thing when its own log says so.

use super::process::wait_until;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Some logs, each from where it was when it was last [forgotten](Self::forget).
#[derive(Debug, Default)]
pub struct Chorus {
    voices: Vec<Voice>,
}

#[derive(Debug)]
struct Voice {
    log: PathBuf,
    read_to: u64,
    text: String,
}

impl Chorus {
    /// Listens to these files too, from their beginning; they need not exist yet.
    pub fn add(&mut self, log: &Path) {
        self.voices.push(Voice {
            log: log.to_owned(),
            read_to: 0,
            text: String::new(),
        });
    }

    /// Forgets what was said so far, of all: what is heard from now on is news.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn forget(&mut self) -> Result<()> {
        for voice in &mut self.voices {
            voice.listen()?;
            voice.text.clear();
        }
        Ok(())
    }

    /// What voice `index` has said since it was forgotten.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn said(&mut self, index: usize) -> Result<&str> {
        let voice = self.voices.get_mut(index).context("no such voice")?;
        voice.listen()?;
        Ok(&voice.text)
    }

    /// Which voices `heard` says yes of, of those that `counts` names.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn those(
        &mut self,
        counts: impl Fn(usize) -> bool,
        heard: impl Fn(&str) -> bool,
    ) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for (index, voice) in self.voices.iter_mut().enumerate() {
            if !counts(index) {
                continue;
            }
            voice.listen()?;
            if heard(&voice.text) {
                found.push(index);
            }
        }
        Ok(found)
    }

    /// Waits until `enough` of the voices that `counts` names are ones `heard` says yes of; how long after `since` that was.
    ///
    /// # Errors
    /// After `limit` (counted from now), with the numbers of those who never said it.
    pub fn wait(
        &mut self,
        what: &str,
        (since, limit): (Instant, Duration),
        enough: usize,
        counts: impl Fn(usize) -> bool,
        heard: impl Fn(&str) -> bool,
    ) -> Result<Duration> {
        let mut knowing = Vec::new();
        let waited = wait_until(what, limit, || {
            knowing = self.those(&counts, &heard)?;
            Ok((knowing.len() >= enough).then(|| since.elapsed()))
        });
        waited.with_context(|| {
            let all = (0..self.voices.len()).filter(|index| counts(*index));
            let missing: Vec<usize> = all.filter(|index| !knowing.contains(index)).collect();
            format!("{} of {enough} know; not yet: {missing:?}", knowing.len())
        })
    }
}

impl Voice {
    /// Takes in what the file has grown by.
    fn listen(&mut self) -> Result<()> {
        let Ok(mut file) = File::open(&self.log) else {
            return Ok(());
        };
        if file.metadata()?.len() <= self.read_to {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.read_to))?;
        let mut news = Vec::new();
        let count = file.read_to_end(&mut news)?;
        self.read_to += count as u64;
        self.text += &String::from_utf8_lossy(&news);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_news_of_those_who_count_is_heard() {
        let folder = std::env::temp_dir().join(format!("chorus-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let logs = ["a", "b", "c"].map(|name| folder.join(name));
        let mut chorus = Chorus::default();
        logs.iter().for_each(|log| chorus.add(log));
        fs::write(&logs[0], "old\n").unwrap();
        chorus.forget().unwrap();
        fs::write(&logs[0], "old\nnew\n").unwrap();
        fs::write(&logs[1], "old\n").unwrap();
        let of =
            |chorus: &mut Chorus, text: &str| chorus.those(|n| n < 2, |said| said.contains(text));
        assert_eq!(of(&mut chorus, "old").unwrap(), [1]);
        assert_eq!(of(&mut chorus, "new").unwrap(), [0]);
        let late = (Instant::now(), Duration::from_millis(30));
        let error = chorus.wait("news", late, 2, |n| n < 2, |said| said.contains("new"));
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("1 of 2 know; not yet: [1]"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
