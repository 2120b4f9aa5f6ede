//! Templates in boot configs: strict, bounded, with the machine and its URLs to fill in.
//!
//! Variables: `name`, `id`, `mac`, `mac_hyphens`, `uuid`, `serial`, `server` (`http://host:port`), `done` and `failed`
//! (the callbacks), and two functions: `file("x")`, the URL of a boot file as an iPXE line needs it, and `answer("x")`,
//! the URL of an answer file.

use std::fmt;

use minijinja::{Environment, UndefinedBehavior, context, syntax::SyntaxConfig};

use super::{activation::Nonce, machine::Machine};

/// Instructions a template may run; a loop that never ends stops here.
const FUEL: u64 = 50_000;
/// Longest text a template may produce, bytes.
pub const MAX_RENDERED: usize = 256 * 1024;

/// A template that cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template does not work: {0}")]
pub struct TemplateError(String);

/// What a template sees.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Whose boot it is.
    pub machine: &'a Machine,
    /// `http://host:port` of the boot HTTP server as this machine reaches it.
    pub base: &'a str,
    /// The activation's nonce.
    pub nonce: &'a Nonce,
}

impl Scope<'_> {
    /// Path of a file of this activation.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        format!("/boot/n/{}/{name}", self.nonce)
    }

    /// Path of a boot file in an iPXE line: the boot's session tells retries from new boots.
    #[must_use]
    pub fn session_path(&self, name: &str) -> String {
        format!("{}?s=${{session}}", self.path(name))
    }

    /// Fills `template` in.
    ///
    /// # Errors
    /// With the line and the cause, for the person who wrote it.
    pub fn render(&self, template: &str) -> Result<String, TemplateError> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(FUEL));
        env.set_syntax(
            SyntaxConfig::builder()
                .keep_trailing_newline(true)
                .build()
                .map_err(explain)?,
        );
        let files = format!("{}/boot/n/{}", self.base, self.nonce);
        let answers = files.clone();
        env.add_function("file", move |name: String| {
            format!("{files}/{name}?s=${{session}}")
        });
        env.add_function("answer", move |name: String| format!("{answers}/{name}"));
        let text = env
            .render_str(template, self.variables())
            .map_err(explain)?;
        if text.len() > MAX_RENDERED {
            return Err(TemplateError(format!(
                "it produces more than {MAX_RENDERED} bytes"
            )));
        }
        Ok(text)
    }

    fn variables(&self) -> minijinja::Value {
        let mac = self.machine.main_mac();
        context! {
            name => self.machine.name.as_str(),
            id => self.machine.id.as_str(),
            mac => mac.map(|m| m.to_string()),
            mac_hyphens => mac.map(ipxe::MacAddr::hyphens),
            uuid => self.machine.uuid.as_deref().unwrap_or_default(),
            serial => self.machine.serial.as_deref().unwrap_or_default(),
            server => self.base,
            done => format!("{}{}", self.base, self.path("done")),
            failed => format!("{}{}", self.base, self.path("failed")),
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the function of a map_err"
)]
fn explain(error: minijinja::Error) -> TemplateError {
    let place = error
        .line()
        .map_or(String::new(), |line| format!("line {line}: "));
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateError(format!("{place}{}", Plain(&detail)))
}

/// Text on one line.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::state::machine::MachineId;

    fn render(template: &str) -> Result<String, TemplateError> {
        let machine = Machine::seen(
            MachineId::from_random(7),
            ipxe::MacAddr([0x52, 0x54, 0, 0, 0, 1]),
            Timestamp::UNIX_EPOCH,
        );
        let nonce = Nonce::from_random(1);
        Scope {
            machine: &machine,
            base: "http://10.0.0.1:4880",
            nonce: &nonce,
        }
        .render(template)
    }

    #[test]
    fn a_template_sees_the_machine_and_its_urls() {
        let nonce = Nonce::from_random(1);
        assert_eq!(
            render("host={{ name }} mac={{ mac }}").unwrap(),
            "host=52-54-00-00-00-01 mac=52:54:00:00:00:01"
        );
        assert_eq!(
            render("{{ file('vmlinuz') }}").unwrap(),
            format!("http://10.0.0.1:4880/boot/n/{nonce}/vmlinuz?s=${{session}}")
        );
        assert_eq!(
            render("{{ answer('p') }} {{ done }}\n").unwrap(),
            format!(
                "http://10.0.0.1:4880/boot/n/{nonce}/p http://10.0.0.1:4880/boot/n/{nonce}/done\n"
            )
        );
    }

    #[test]
    fn a_template_that_misspells_or_never_ends_is_an_error() {
        assert!(
            render("{{ nmae }}")
                .unwrap_err()
                .to_string()
                .contains("line 1")
        );
        assert!(
            render("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}")
                .is_err()
        );
        assert!(render("{{ 'x' ").is_err());
    }
}
