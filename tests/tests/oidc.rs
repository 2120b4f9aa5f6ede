//! People sign in at a real identity provider: oidc-provider of npm, with its own forms, driven as a browser drives them. What a lying
//! one does is in the controller's own tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{ControllerPlan, Service, Space, need, story};
use serde_json::{Value, from_str};

const SSO: &str = "http://127.0.0.1:9000";
const HERE: &str = "http://127.0.0.1:4843";
/// What no encoding may lose.
const SECRET: &str = "a secret: of 100% %n";
const SOON: Duration = Duration::from_secs(30);

fn config(secret: &Path) -> String {
    format!(
        r#"
tftp = false
[dhcp]
mode = "off"
[api]
listen = "127.0.0.1:4843"
tls = "off"
[oidc]
name = "the lab"
issuer = "{SSO}"
client_id = "enforcer"
client_secret_file = "{}"
public_url = "{HERE}"
scopes = ["openid", "profile"]
[[oidc.roles]]
claim = "groups"
value = "boot-admins"
role = "admin"
"#,
        secret.display()
    )
}

/// The provider, at [`SSO`].
fn provider(space: &Space) -> Result<Service> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/oidc.sh");
    let installed = Command::new(script).output()?;
    let said = String::from_utf8_lossy(&installed.stderr).into_owned();
    ensure!(installed.status.success(), "tests/oidc.sh: {said}");
    let mut node = space.command(String::from_utf8(installed.stdout)?.trim());
    node.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/.cache/oidc/provider.mjs"
    ));
    node.args(["9000", &format!("{HERE}/api/v1/oidc/callback")]);
    let mut provider = space.service("provider", node)?;
    provider.wait_log("the provider listens", SOON)?;
    Ok(provider)
}

/// curl with the cookies of one person.
struct Browser<'a> {
    space: &'a Space,
    cookies: PathBuf,
}

/// Where it ended.
struct Page {
    status: u16,
    url: String,
    text: String,
}

impl<'a> Browser<'a> {
    fn of(space: &'a Space, name: &str) -> Self {
        let cookies = space.folder().file(format!("{name}.cookies"));
        Self { space, cookies }
    }

    /// Follows an address; with a form, posts it first.
    fn opens(&self, url: &str, form: Option<&str>) -> Result<Page> {
        let mut curl = self.space.command("curl");
        curl.args(["-sSL", "--max-time", "20", "-H", "Accept: text/html"]);
        curl.args(["-w", "\n%{http_code} %{url_effective}"]);
        curl.arg("-b")
            .arg(&self.cookies)
            .arg("-c")
            .arg(&self.cookies);
        if let Some(form) = form {
            curl.args(["--data", form]);
        }
        let told = curl.arg(url).output()?;
        ensure!(
            told.status.success(),
            "{url}: {}",
            String::from_utf8_lossy(&told.stderr)
        );
        let told = String::from_utf8(told.stdout)?;
        let (text, end) = told
            .rsplit_once('\n')
            .context("curl ends with where it was")?;
        let (status, url) = end.split_once(' ').context("status and address")?;
        Ok(Page {
            status: status.parse()?,
            url: url.to_owned(),
            text: text.to_owned(),
        })
    }

    /// Presses the button, and fills in whatever form comes, until it is back here.
    fn signs_in(&self, name: &str) -> Result<Page> {
        let mut page = self.opens(
            &format!("{HERE}/api/v1/oidc/login?return=%2F%23%2Fmachines"),
            None,
        )?;
        for _ in 0..3 {
            if page.url.starts_with(HERE) {
                return Ok(page);
            }
            let form = page.text.split("action=\"").nth(1);
            let action = form.and_then(|rest| rest.split('"').next());
            let action = action.with_context(|| format!("no form: {}", page.text))?;
            let filled = match page.text.contains("value=\"consent\"") {
                true => "prompt=consent".to_owned(),
                false => format!("prompt=login&login={name}&password=any"),
            };
            page = self.opens(action, Some(&filled))?;
        }
        Ok(page)
    }

    /// Who the controller says that they are.
    fn who(&self) -> Result<Value> {
        Ok(from_str(
            &self.opens(&format!("{HERE}/api/v1/session"), None)?.text,
        )?)
    }
}

#[test]
fn people_sign_in_at_a_real_identity_provider() -> Result<()> {
    need::programs(&["curl"])?;
    story("oidc", |space| {
        let _provider = provider(space)?;
        let secret = space.folder().file("secret");
        fs::write(&secret, format!("{SECRET}\n"))?;
        let plan = ControllerPlan::new().config(&config(&secret));
        let mut controller = plan.start(space)?;

        let ada = Browser::of(space, "ada");
        let page = ada.signs_in("ada")?;
        ensure!(page.status == 200, "{}: {}", page.status, page.text);
        ensure!(page.text.contains("0;url=/#/machines"), "{}", page.text);
        let who = ada.who()?;
        ensure!(who["user"] == "ada" && who["role"] == "admin", "{who}");
        let cookies = fs::read_to_string(&ada.cookies)?;
        ensure!(!cookies.contains("enforcer-sign-in"), "{cookies}");

        // The same answer of the provider again.
        let again = ada.opens(&page.url, None)?;
        ensure!(
            again.status == 400 && again.text.contains("oidc-state"),
            "{}",
            again.text
        );

        let eve = Browser::of(space, "eve");
        let page = eve.signs_in("eve")?;
        ensure!(
            page.status == 403 && page.text.contains("oidc-no-access"),
            "{}",
            page.text
        );
        ensure!(eve.who()?["code"] == "unauthenticated", "{}", eve.who()?);

        // Who they are outlives the power cut; the provider still knows its own session, and asks nothing.
        controller.kill9();
        controller.restart()?;
        ensure!(ada.who()?["user"] == "ada", "{}", ada.who()?);
        ensure!(ada.signs_in("ada")?.status == 200, "she is known");
        let users = controller.list("users")?;
        ensure!(users.len() == 1 && users[0]["oidc"] == "bound", "{users:?}");

        fs::write(&secret, "another secret")?;
        let page = ada.signs_in("ada")?;
        ensure!(
            page.status == 502 && page.text.contains("invalid_client"),
            "{}",
            page.text
        );
        Ok(())
    })
}
