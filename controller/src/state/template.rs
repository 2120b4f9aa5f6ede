//! Templates in boot configs: strict, bounded, with the machine and its URLs to fill in.
//!
//! Variables: `name`, `id`, `mac`, `mac_hyphens`, `uuid`, `serial`, `server` (`http://host:port`), `nonce` (for an agent's
//! report), `done` and `failed` (the callbacks), `machine.facts` (what the machine is made of, as its agent read it), and
//! two functions: `file("x")`, the URL of a boot file as an iPXE line needs it, and `answer("x")`, the URL of an answer file.
//! A value that comes from outside is quoted by the filter of its format: `shell`, `json`, `yaml`, `line`, `word`, `url`.

mod bounds;
mod filters;
#[cfg(test)]
mod hostile;

use std::{
    fmt, io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use mesh_proto::facts::HardwareFacts;
use minijinja::{
    Environment, ErrorKind, UndefinedBehavior, Value, context,
    syntax::SyntaxConfig,
    value::{Object, Serde},
};

use super::{activation::Nonce, machine::Machine};

/// Instructions a template may run; a loop that never ends stops here.
const FUEL: u64 = 50_000;
/// Longest text a template may produce, bytes.
pub const MAX_RENDERED: usize = 256 * 1024;

/// A template that cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It cannot work.
    #[error("the template does not work: {0}")]
    Broken(String),
    /// It asks for a fact that is not known.
    #[error("the template asks for what is not known of the machine: {0}")]
    Facts(String),
}

/// What a template sees.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Whose boot it is.
    pub machine: &'a Machine,
    /// What it is made of, when that is known.
    pub facts: Option<&'a HardwareFacts>,
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
        bounds::check(template).map_err(TemplateError::Broken)?;
        let mut env = FITTED_OUT.clone();
        let files = format!("{}/boot/n/{}", self.base, self.nonce);
        let answers = files.clone();
        env.add_function("file", move |name: String| {
            format!("{files}/{name}?s=${{session}}")
        });
        env.add_function("answer", move |name: String| format!("{answers}/{name}"));
        let asked = Arc::new(AtomicBool::new(false));
        // Facts are large: they are only looked at for a template that names the machine.
        let facts = self.facts.filter(|_| template.contains("machine"));
        let machine = Value::from_object(MachineValue {
            facts: facts.map(|f| Value::from(Serde(f))),
            asked: Arc::clone(&asked),
        });
        let mut text = Bounded::default();
        let template = env.template_from_str(template).map_err(explain)?;
        let filled = template.render_captured_to(self.variables(machine), &mut text);
        match filled.map(drop) {
            _ if text.is_over => Err(TemplateError::Broken(format!(
                "it produces more than {MAX_RENDERED} bytes"
            ))),
            Ok(()) => Ok(String::from_utf8(text.bytes).expect("the renderer writes texts")),
            Err(error) => Err(match error.kind() {
                ErrorKind::UndefinedError if asked.load(Ordering::Relaxed) => {
                    TemplateError::Facts(in_words(&error))
                }
                _ => explain(error),
            }),
        }
    }

    fn variables(&self, machine: Value) -> Value {
        let mac = self.machine.main_mac();
        context! {
            machine,
            nonce => self.nonce.to_string(),
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

/// The renderer with all that every template sees; cloning shares it.
static FITTED_OUT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::empty();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    env.set_syntax(syntax.expect("the usual syntax"));
    filters::fit_out(&mut env);
    env
});

/// The text as it is written: what is too long ends the rendering, not only its result.
#[derive(Debug, Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_over: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_RENDERED {
            self.is_over = true;
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `machine` in a template; remembers whether its facts were asked for.
#[derive(Debug)]
struct MachineValue {
    facts: Option<Value>,
    asked: Arc<AtomicBool>,
}

impl Object for MachineValue {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str() != Some("facts") {
            return None;
        }
        self.asked.store(true, Ordering::Relaxed);
        self.facts.clone()
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the function of a map_err"
)]
fn explain(error: minijinja::Error) -> TemplateError {
    TemplateError::Broken(in_words(&error))
}

fn in_words(error: &minijinja::Error) -> String {
    let place = error
        .line()
        .map_or(String::new(), |line| format!("line {line}: "));
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("{place}{}", Plain(&detail))
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
        render_with(template, None)
    }

    fn render_with(template: &str, facts: Option<&HardwareFacts>) -> Result<String, TemplateError> {
        let machine = Machine::seen(
            MachineId::from_random(7),
            ipxe::MacAddr([0x52, 0x54, 0, 0, 0, 1]),
            Timestamp::UNIX_EPOCH,
        );
        let nonce = Nonce::from_random(1);
        Scope {
            machine: &machine,
            facts,
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
    fn a_template_sees_facts_and_says_when_it_lacks_them() {
        let template =
            "{{ machine.facts.disks[0].serial }} {{ machine.facts.memory.bytes // 1024 ** 3 }}";
        let facts = crate::state::matching::examples::facts(1);
        assert_eq!(render_with(template, Some(&facts)).unwrap(), "DISK-1 8");
        assert!(matches!(render(template), Err(TemplateError::Facts(_))));
        let careful = "{% if machine.facts is defined %}known{% else %}unknown{% endif %}";
        assert_eq!(render(careful).unwrap(), "unknown");
        let misspelt = "{{ machine.fact }}";
        assert!(matches!(render(misspelt), Err(TemplateError::Broken(_))));
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

    #[test]
    fn a_text_that_is_too_long_ends_the_rendering() {
        let long = format!(
            "{{% set a = '{}' %}}{}",
            "x".repeat(60_000),
            "{{ a }}".repeat(5)
        );
        let error = render(&long).unwrap_err().to_string();
        assert!(error.contains("more than 262144 bytes"), "{error}");
    }
}
