//! Lamps below `/sys/class/leds`: a locator where the machine has one, else whatever it has (a Raspberry Pi's activity
//! lamp, the keyboard's). And the beep of the console.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Parts of the names of lamps that are made for this.
const LOCATORS: [&str; 4] = ["locate", "identify", "uid", "fault"];
/// Lamps that are switched at most.
const LIMIT: usize = 16;
/// What a terminal beeps at.
const BEEP: &[u8] = b"\x07";

/// The machine's lamps, and how they were found.
#[derive(Debug)]
pub(super) struct Lamps {
    root: PathBuf,
    /// Empty while nothing blinks.
    found: Mutex<Vec<Lamp>>,
}

#[derive(Debug)]
struct Lamp {
    path: PathBuf,
    brightness: String,
    trigger: Option<String>,
    max: String,
}

impl Lamps {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            found: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn set(&self, on: bool) -> io::Result<()> {
        let mut lamps = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if !on {
            lamps.drain(..).for_each(|lamp| lamp.restore());
            return Ok(());
        }
        if lamps.is_empty() {
            *lamps = find(&self.root.join("sys/class/leds"));
        }
        let lit = lamps.iter().filter(|lamp| lamp.light().is_ok()).count();
        let beeped = self.beep().is_ok();
        if lit == 0 && !beeped {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no lamp and no console",
            ));
        }
        Ok(())
    }

    fn beep(&self) -> io::Result<()> {
        let console = self.root.join("dev/console");
        fs::OpenOptions::new()
            .write(true)
            .open(console)?
            .write_all(BEEP)
    }
}

impl Lamp {
    fn light(&self) -> io::Result<()> {
        fs::write(self.path.join("brightness"), &self.max)
    }

    /// A lamp that was lit by hand has lost its trigger (Documentation/leds/leds-class.rst).
    fn restore(&self) {
        let _ = fs::write(self.path.join("brightness"), &self.brightness);
        if let Some(trigger) = &self.trigger {
            let _ = fs::write(self.path.join("trigger"), trigger);
        }
    }
}

fn find(folder: &Path) -> Vec<Lamp> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map(|all| all.take(256).flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    let is_locator = |path: &PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_ascii_lowercase());
        name.is_some_and(|name| LOCATORS.iter().any(|part| name.contains(part)))
    };
    if paths.iter().any(is_locator) {
        paths.retain(is_locator);
    }
    paths.into_iter().filter_map(lamp).take(LIMIT).collect()
}

fn lamp(path: PathBuf) -> Option<Lamp> {
    let text = |name: &str| Some(fs::read_to_string(path.join(name)).ok()?.trim().to_owned());
    Some(Lamp {
        brightness: text("brightness")?,
        max: text("max_brightness").unwrap_or_else(|| "255".to_owned()),
        trigger: text("trigger").and_then(|all| chosen(&all)),
        path,
    })
}

/// `none [mmc0] timer` → `mmc0`.
fn chosen(triggers: &str) -> Option<String> {
    let (_, from) = triggers.split_once('[')?;
    let name = from.split_once(']')?.0;
    (name != "none").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(root: &Path, name: &str, trigger: &str) -> PathBuf {
        let path = root.join("sys/class/leds").join(name);
        fs::create_dir_all(&path).unwrap();
        for (file, text) in [
            ("brightness", "0\n"),
            ("max_brightness", "1\n"),
            ("trigger", trigger),
        ] {
            fs::write(path.join(file), text).unwrap();
        }
        path
    }

    fn read(path: &Path, file: &str) -> String {
        fs::read_to_string(path.join(file))
            .unwrap()
            .trim()
            .to_owned()
    }

    #[test]
    fn a_lamp_is_left_as_it_was_found() {
        let root = tempfile::tempdir().unwrap();
        let act = led(root.path(), "ACT", "none [mmc0] timer\n");
        let lamps = Lamps::new(root.path());
        lamps.set(true).unwrap();
        assert_eq!(read(&act, "brightness"), "1");
        lamps.set(false).unwrap();
        assert_eq!(
            (read(&act, "brightness"), read(&act, "trigger")),
            ("0".into(), "mmc0".into())
        );
    }

    #[test]
    fn a_locator_blinks_alone_and_without_any_lamp_it_is_said() {
        let root = tempfile::tempdir().unwrap();
        let lamps = Lamps::new(root.path());
        assert!(lamps.set(true).is_err());
        let (other, locator) = (
            led(root.path(), "input0::capslock", "[none]"),
            led(root.path(), "chassis:identify", "[none]"),
        );
        lamps.set(true).unwrap();
        assert_eq!(
            (read(&other, "brightness"), read(&locator, "brightness")),
            ("0".into(), "1".into())
        );
    }
}
