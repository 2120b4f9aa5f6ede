//! A message as a mail, handed to a mail server by SMTP.

use std::{fmt, path::PathBuf, time::Duration};

use mail_builder::MessageBuilder;
use mail_send::{
    Credentials, Error, SmtpClient, SmtpClientBuilder,
    smtp::message::{Address, Message as Envelope},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::message::Message;
use crate::{
    client::Trust,
    state::{Timestamp, notify::MailAddress, ops::Word},
};

/// How long a server may take for a whole mail: some keep strangers waiting on purpose.
const WITHIN: Duration = Duration::from_secs(30);
/// Answers that say that there is no such mailbox, or that it never takes such mail (RFC 5321 §4.2.3).
const NO_SUCH_MAILBOX: std::ops::RangeInclusive<u16> = 550..=553;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MailTls {
    /// By STARTTLS, and not at all without it.
    #[default]
    StartTls,
    /// From the first byte (port 465).
    Tls,
    /// Not: for a server on this host or a trusted wire.
    Off,
}

/// The mail server (`[mail]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// Its name (`server`).
    pub host: String,
    /// Its port (`server`). Default 587, with `tls = "tls"` 465.
    pub port: u16,
    /// `tls`. Default `starttls`.
    pub tls: MailTls,
    /// Whom mails come from (`from`).
    pub from: MailAddress,
    /// Who we are to the server (`user`); without one it is not asked to know us.
    pub user: Option<String>,
    /// The file with the password (`password_file`), read for each mail.
    pub password_file: Option<PathBuf>,
}

/// Sends it once.
pub(super) async fn send(
    settings: &MailSettings,
    trust: &Trust,
    to: &MailAddress,
    message: &Message<'_>,
    now: Timestamp,
) -> Word {
    let mail = match compose(settings, to, message, now) {
        Ok(mail) => mail,
        Err(error) => return Word::Failed(error.to_string()),
    };
    let sent = timeout(WITHIN, hand_over(settings, trust, to, mail)).await;
    match sent {
        Ok(Ok(())) => Word::Delivered(format!("{} took it", settings.host)),
        Ok(Err(failure)) => failure.word(&settings.host),
        Err(_) => Word::Failed(format!("{} took too long", settings.host)),
    }
}

async fn hand_over(
    settings: &MailSettings,
    trust: &Trust,
    to: &MailAddress,
    mail: Vec<u8>,
) -> Result<(), Failure> {
    let (from, to) = (settings.from.as_str(), to.as_str());
    let envelope = Envelope::new(Address::from(from), [Address::from(to)], mail);
    let smtp = smtp(settings, trust).await?;
    match settings.tls {
        MailTls::Off => give(smtp.connect_plain().await?, envelope).await,
        MailTls::StartTls | MailTls::Tls => give(smtp.connect().await?, envelope).await,
    }
}

async fn give<S: AsyncRead + AsyncWrite + Unpin>(
    mut server: SmtpClient<S>,
    envelope: Envelope<'_>,
) -> Result<(), Failure> {
    server.send(envelope).await?;
    // It has the mail; how it takes the good-bye does not matter.
    let _ = server.quit().await;
    Ok(())
}

async fn smtp(
    settings: &MailSettings,
    trust: &Trust,
) -> Result<SmtpClientBuilder<String>, Failure> {
    let tls = match settings.tls {
        // Not used, but the builder wants one, and a host without CAs can send so.
        MailTls::Off => Trust::pinned([0; 32]).config().await,
        MailTls::StartTls | MailTls::Tls => trust.config().await,
    };
    let tls = tls.map_err(Failure::here)?;
    Ok(SmtpClientBuilder {
        timeout: WITHIN,
        tls_connector: TlsConnector::from(tls),
        tls_hostname: settings.host.clone(),
        tls_implicit: settings.tls == MailTls::Tls,
        credentials: credentials(settings).await?,
        addr: format!("{}:{}", settings.host, settings.port),
        is_lmtp: false,
        say_ehlo: true,
        local_host: settings.from.domain().to_owned(),
        local_ip: None,
    })
}

async fn credentials(settings: &MailSettings) -> Result<Option<Credentials<String>>, Failure> {
    let (Some(user), Some(file)) = (&settings.user, &settings.password_file) else {
        return Ok(None);
    };
    let read = tokio::fs::read_to_string(file).await;
    let secret = read.map_err(|e| Failure::here(format!("reading {}: {e}", file.display())))?;
    Ok(Some(Credentials::Plain {
        username: user.clone(),
        secret: secret.trim_end().to_owned(),
    }))
}

/// The mail as text (RFC 5322). Its id is the message's, so that a mail program shows a repeated one once.
fn compose(
    settings: &MailSettings,
    to: &MailAddress,
    message: &Message<'_>,
    now: Timestamp,
) -> std::io::Result<Vec<u8>> {
    MessageBuilder::new()
        .from(("Enforcer", settings.from.as_str()))
        .to(to.as_str())
        .message_id(format!("{}@{}", message.id, settings.from.domain()))
        .date(now.as_second())
        .subject(message.subject())
        // RFC 3834 §5: nobody's holiday answers to it.
        .header(
            "Auto-Submitted",
            mail_builder::headers::raw::Raw::new("auto-generated"),
        )
        .text_body(message.text())
        .write_to_vec()
}

/// Why a mail was not taken.
enum Failure {
    /// Something on this side.
    Here(String),
    /// The server, or the way to it.
    There(Error),
}

impl Failure {
    fn here(error: impl fmt::Display) -> Self {
        Self::Here(error.to_string())
    }

    fn word(self, host: &str) -> Word {
        match self {
            Self::Here(error) => Word::Failed(error),
            Self::There(Error::UnexpectedReply(reply)) if NO_SUCH_MAILBOX.contains(&reply.code) => {
                Word::Gone(format!(
                    "{host} refused it: {} {}",
                    reply.code, reply.message
                ))
            }
            Self::There(Error::MissingStartTls) => Word::Failed(format!(
                "{host} offers no STARTTLS; set mail.tls to \"tls\", or to \"off\" on a trusted wire"
            )),
            Self::There(error) => Word::Failed(format!("{host}: {error}")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::There(error)
    }
}
