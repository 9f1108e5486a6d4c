//! `connections add`: asks for what the options leave open on a terminal, and takes options alone
//! elsewhere. Every answer is checked as it is given.

mod card;
mod questions;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::format::{escape, label_option, shell_quoted};
use crate::cli::hints::hint;
use crate::cli::json::ConnectionAnswer;
use crate::cli::shared::api_key;
use crate::cli::shared::api_url;
use crate::cli::shared::client_certificate::{self, check_found, GivenCertificate, Loaded};
use crate::cli::shared::connection_changes::{apply, changes};
use crate::cli::shared::connection_fields::{
    self, find_elsewhere, server_address, AuthType, FieldArgs, GivenSecret,
};
use crate::cli::shared::connection_text::next_steps;
use crate::cli::shared::help::examples;
use crate::cli::shared::redirect_uris::warn_if_shared;
use crate::cli::shared::registration::{registration, Registration};
use crate::cli::shared::secret_command;
use crate::cli::shared::trust::{wanted_trust, Trust};
use crate::cli::shared::web_tier::{self, GivenWebTier};
use crate::cli::CommandContext;
use crate::connection::{
    Connection, Grant, GrantKind, Label, PortalUrl, PortalUrls, Proxy, RedirectUri, Tls, WebTier,
    NEEDS_ANSWER,
};
use crate::env;
use crate::error::{Error, Input};
use crate::http::Presented;
use crate::manage::{self, NewClientCertificate, NewSecrets};
use crate::portal::{Elsewhere, PortalInfo};
use crate::secret::Secret;
use crate::session::ApiKeySource;
use crate::store::{ConnectionStore, Selector};

use questions::{ask_after_failure, ask_kind, ask_portal, ask_redirect, print_portal, NextStep};

#[derive(Args, Clone, Debug, Default)]
#[command(after_help = examples(&[
    ("age-oauth connections add --label prod --portal URL --client-id ID", "without questions"),
    ("age-oauth connections add --from prod.json --login", "from a colleague's card"),
]))]
pub(in crate::cli) struct AddArgs {
    /// Connection label: your own short name for it
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    #[command(flatten)]
    fields: FieldArgs,
    /// Sign in at once
    #[arg(long)]
    login: bool,
    /// Make it the default
    #[arg(long = "use")]
    make_default: bool,
    /// Do not make it the default, even if it is the first
    #[arg(long, alias = "no-active", conflicts_with = "make_default")]
    no_default: bool,
    /// Update the connection that has this label, if there is one
    #[arg(long)]
    replace: bool,
    /// A connection card (see `share`): a file, or - for stdin
    #[arg(
        long,
        value_name = "CARD",
        conflicts_with_all = ["portal", "auth_type", "client_id", "verify_ssl", "redirect_uri", "referer"]
    )]
    from: Option<PathBuf>,
    /// Trust the card without asking
    #[arg(short, long, requires = "from")]
    yes: bool,
    /// Fingerprint of a certificate in the card (repeatable)
    #[arg(long = "ca-fingerprint", value_name = "SHA256", requires = "from")]
    ca_fingerprints: Vec<String>,
    /// Ask nothing, and print the connection as one JSON object
    #[arg(long, conflicts_with_all = ["from", "login"])]
    json: bool,
}

/// What follows once the connection is stored.
pub(super) enum Next {
    Done,
    /// `login`, for the connection that the context selects now.
    SignIn,
}

pub(super) fn add(ctx: &mut CommandContext, args: &AddArgs) -> Result<Next, Failure> {
    // With `--json`, the console leaves out what explains a question.
    ctx.no_input |= args.json;
    let by_card = card::accept(ctx, args)?;
    let args = by_card.as_ref().unwrap_or(args);
    connection_fields::check_machine_policy(&ctx.context, &args.fields, by_card.is_some())?;
    let store = ctx.store()?;
    if let Some(existing) = existing(&store, args)? {
        return replace(ctx, &store, existing, args);
    }
    let named = args.fields.auth_type.map(AuthType::kind);
    connection_fields::check_fit(&args.fields, named.unwrap_or(GrantKind::User))?;
    if args.login && named == Some(GrantKind::ApiKey) {
        return Err(Failure::usage_hint(
            "with an API key, there is nothing to sign in to",
            "leave --login out",
        ));
    }
    let lacks_client_id =
        args.fields.client_id.is_none() && named.is_none_or(GrantKind::has_client_id);
    let guided =
        ctx.can_ask() && (args.label.is_none() || args.fields.portal.is_none() || lacks_client_id);
    let certificate = match client_certificate::given(ctx, &args.fields.client_certificate)? {
        GivenCertificate::Certificate(loaded) => Some(loaded),
        GivenCertificate::Nothing | GivenCertificate::None => None,
    };
    let mut form = Form::new(args, guided, certificate)?;
    let answers = form.answers(ctx, &store)?;
    let presented = form.presented();
    warn_if_unregistered(ctx, args, &answers.0, &answers.1, presented);
    let presented = form.presented();
    let certificate = form.certificate.as_deref().map(|loaded| &loaded.new);
    create(ctx, &store, args, answers, certificate, presented)
}

/// Warns if the portal's sign-in page does not know the client ID or the redirect URI, before a
/// person finds that out in the browser. Whatever else fails here shows up at the sign-in.
fn warn_if_unregistered(
    ctx: &CommandContext,
    args: &AddArgs,
    connection: &Connection,
    trust: &Trust,
    presented: Presented,
) {
    let signs_in_with_a_browser = match connection.grant {
        Grant::User { .. } => true,
        Grant::Application | Grant::Network | Grant::ApiKey { .. } => false,
    };
    if args.fields.no_check || !signs_in_with_a_browser {
        return;
    }
    let (proxy, referer) = (&connection.proxy, connection.sent_referer());
    let api = connection.api_url();
    let client = trust.http(api, presented, proxy, referer, &ctx.context);
    let (what, flag) = match client.and_then(|client| registration(&client, connection)) {
        Ok(Registration::UnknownClientId) => ("does not know this client ID", "--client-id ID"),
        Ok(Registration::UnknownRedirectUri) => (
            "does not have this redirect URI for the application",
            "--redirect-uri URI",
        ),
        Ok(Registration::Known | Registration::Unclear(_)) | Err(_) => return,
    };
    ctx.console.warn(&format!(
        "the portal {what}; register it there, or: age-oauth connections edit {} {flag}",
        shell_quoted(connection.label.as_str())
    ));
}

/// The connection that already has this label, if `--replace` is given. Without `--replace`, that
/// is an error.
fn existing(store: &ConnectionStore, args: &AddArgs) -> Result<Option<Connection>, Failure> {
    let Some(label) = &args.label else {
        return Ok(None);
    };
    let label: Label = label.parse()?;
    match store.check_free(&label) {
        Ok(()) => Ok(None),
        Err(Error::NameTaken { label }) if args.replace => {
            Ok(Some(store.find(&Selector::Name(label))?))
        }
        Err(Error::NameTaken { label }) => Err(Failure::Hinted {
            hint: format!(
                "choose another label, or update it: age-oauth connections add {} --replace …",
                label_option(&label)
            ),
            error: Error::NameTaken { label },
        }),
        Err(error) => Err(error.into()),
    }
}

/// What the options give, and whether the program asks for the rest.
struct Form<'a> {
    args: &'a AddArgs,
    guided: bool,
    proxy: Proxy,
    referer: Option<String>,
    certificate: Option<Box<Loaded>>,
    web_tier: WebTier,
    /// The addresses that certificate and sign-in were chosen for, once they are known.
    chosen_for: Option<PortalUrls>,
}

type Answers = (Connection, Trust, FirstSecret);

/// What a new connection signs in with, beside a person.
enum FirstSecret {
    Nothing,
    ClientSecret(Secret),
    ApiKey(ApiKeySource),
}

impl<'a> Form<'a> {
    fn new(
        args: &'a AddArgs,
        guided: bool,
        certificate: Option<Box<Loaded>>,
    ) -> Result<Self, Failure> {
        let fields = &args.fields;
        Ok(Self {
            args,
            guided,
            certificate,
            web_tier: WebTier::None,
            chosen_for: None,
            proxy: connection_fields::proxy(fields)?.unwrap_or(Proxy::System),
            referer: fields
                .referer
                .as_deref()
                .map(manage::check_referer)
                .transpose()?,
        })
    }

    /// What to ask the portal with.
    fn presented(&self) -> Presented {
        let certificate = self.certificate.as_ref();
        Presented {
            certificate: certificate.map(|loaded| Arc::clone(&loaded.certificate)),
            windows: self.web_tier.principal().cloned(),
        }
    }

    /// As whom Windows sign-in is answered at this address, if an option says that it is.
    fn read_web_tier(&mut self, ctx: &CommandContext, portal: &PortalUrl, tls: &Tls) -> Outcome {
        self.web_tier = match GivenWebTier::read(&self.args.fields.web_tier)? {
            GivenWebTier::Windows(named) => web_tier::windows(ctx, portal, tls, named)?,
            // What was answered for another address does not count for this one.
            GivenWebTier::Nothing | GivenWebTier::None => WebTier::None,
        };
        Ok(())
    }

    /// Drops what was chosen for another origin than a person has come to: if that server asks for
    /// it, the person chooses again. What an option gives is not dropped without a person.
    fn limit_presented(&mut self, ctx: &CommandContext, urls: &PortalUrls, tls: &Tls) -> Outcome {
        let place = urls.api_url();
        let former = self
            .chosen_for
            .replace(urls.clone())
            .unwrap_or_else(|| urls.clone());
        let stay = check_found(&former, urls, &self.presented());
        if !self.guided {
            stay?;
        } else if stay.is_err() {
            ctx.console.info(&format!(
                "What was chosen for {} is not presented to {place}.",
                former.api_url()
            ));
            (self.certificate, self.web_tier) = (None, WebTier::None);
        }
        if self.certificate.is_some() {
            manage::check_client_certificate(place, tls)?;
        }
        if self.web_tier != WebTier::None {
            manage::check_windows_sign_in(place, tls)?;
        }
        Ok(())
    }

    fn answers(
        &mut self,
        ctx: &mut CommandContext,
        store: &ConnectionStore,
    ) -> Result<Answers, Failure> {
        self.require_all(ctx)?;
        // A keychain that does not work is an error before the first question.
        let keychain = connection_fields::usable_keychain(ctx, store, self.args.fields.keychain)?;
        let label = self.label(ctx, store)?;
        let (urls, trust) = self.portal(ctx)?;
        let kind = self.kind(ctx)?;
        let portal = urls.browser_url().clone();
        let grant = self.grant(ctx, store, &portal, kind)?;
        let (client_id, secret) = self.registration(ctx, kind)?;
        let mut connection = Connection::new(label, portal, grant, client_id);
        let secret = match secret {
            GivenSecret::Nothing | GivenSecret::None if kind == GrantKind::ApiKey => {
                let given = api_key::given(ctx, &self.args.fields.api_key)?;
                if let ApiKeySource::Command(command) = &given {
                    connection.secret_command = Some(command.clone());
                }
                FirstSecret::ApiKey(given)
            }
            GivenSecret::Nothing | GivenSecret::None => FirstSecret::Nothing,
            GivenSecret::Text(secret) => FirstSecret::ClientSecret(secret),
            GivenSecret::Command(command) => {
                connection.secret_command = Some(command);
                FirstSecret::Nothing
            }
        };
        connection.urls = urls;
        connection.tls = match &trust.tls {
            Tls::Ca(_) => Tls::Ca(store.ca_path(&connection.id)),
            Tls::Pinned { host, .. } => Tls::Pinned {
                path: store.pinned_path(&connection.id),
                host: host.clone(),
            },
            other => other.clone(),
        };
        connection_fields::warn_unverified(ctx, connection.label.as_str(), &connection.tls);
        if let Some(loaded) = &self.certificate {
            connection.client_certificate = Some(loaded.new.setting.clone());
        }
        connection.web_tier = self.web_tier.clone();
        connection.ca_source = trust.pem().map(|(_, source)| source.to_owned());
        connection.proxy = self.proxy.clone();
        connection.referer.clone_from(&self.referer);
        connection.keychain = keychain;
        connection.tags = connection_fields::tags(&self.args.fields)?;
        connection.created_at = Some(ctx.context.now());
        Ok((connection, trust, secret))
    }

    fn label(&self, ctx: &mut CommandContext, store: &ConnectionStore) -> Result<Label, Failure> {
        if let Some(label) = &self.args.label {
            return Ok(label.parse()?);
        }
        self.require_guided("--label", None)?;
        let answer = ctx.system.ask.text(
            "Connection label (your own short name, for example prod)",
            None,
            &mut |text| {
                let label: Label = text.parse().map_err(|why: Error| why.to_string())?;
                store.check_free(&label).map_err(|why| why.to_string())
            },
        )?;
        Ok(answer.parse()?)
    }

    /// If the program cannot ask, names everything that is missing at once.
    fn require_all(&self, ctx: &CommandContext) -> Outcome {
        if self.guided {
            return Ok(());
        }
        let fields = &self.args.fields;
        let kind = fields.auth_type.map_or(GrantKind::User, AuthType::kind);
        let no_key = kind != GrantKind::ApiKey || ctx.can_ask();
        let given = [
            ("--label", self.args.label.is_some()),
            ("--portal", fields.portal.is_some()),
            (
                "--client-id",
                fields.client_id.is_some() || !kind.has_client_id(),
            ),
            ("--client-secret-stdin", self.has_secret(ctx)),
            ("--api-key-stdin", no_key || fields.api_key.is_given()),
            ("--expires", no_key || fields.expires.is_some()),
        ];
        let missing: Vec<_> = given
            .iter()
            .filter(|(_, given)| !given)
            .map(|(flag, _)| *flag)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let are = if missing.len() == 1 { "is" } else { "are" };
        Err(Failure::usage_hint(
            format!(
                "{} {are} missing, and there is no terminal for a prompt",
                missing.join(", ")
            ),
            if missing.contains(&"--api-key-stdin") {
                format!(
                    "give {}; for the API key: {}",
                    missing.join(", "),
                    api_key::how_to_give()
                )
            } else if missing.contains(&"--client-secret-stdin") {
                format!(
                    "give {}; for the client secret: {}",
                    missing.join(", "),
                    connection_fields::how_to_give_secret()
                )
            } else {
                format!("give {}", missing.join(", "))
            },
        ))
    }

    /// Whether the client secret is given, can be asked for, or is not needed.
    fn has_secret(&self, ctx: &CommandContext) -> bool {
        let fields = &self.args.fields;
        let environment = &ctx.context.environment;
        fields.auth_type != Some(AuthType::App)
            || ctx.can_ask()
            || fields.secret.is_given()
            || !matches!(environment.secret(env::AGE_OAUTH_CLIENT_SECRET), Ok(None))
    }

    /// If the program cannot ask, a missing value is an error that names the option to give.
    fn require_guided(&self, flag: &str, variable: Option<&str>) -> Outcome {
        if self.guided {
            return Ok(());
        }
        let or = variable.map_or_else(String::new, |name| format!(", or set {name}"));
        Err(Failure::usage_hint(
            format!("{flag} is missing, and there is no terminal for a prompt"),
            format!("give {flag}{or}"),
        ))
    }

    fn portal(&mut self, ctx: &mut CommandContext) -> Result<(PortalUrls, Trust), Failure> {
        let fields = &self.args.fields;
        let mut given = fields.portal.clone();
        let mut given_api = match &fields.api_url {
            Some(text) => api_url::read(text)?,
            None => None,
        };
        let mut wanted: Option<(PortalUrl, Option<Trust>)> = None;
        loop {
            let portal: PortalUrl = if let Some(text) = given.take() {
                PortalUrl::from_input(&text)?
            } else {
                self.require_guided("--portal", None)?;
                ask_portal(ctx)?
            };
            let urls = PortalUrls::new(portal, given_api.take())?;
            let place = urls.api_url();
            // A pipe can be read only once, so that the file is read again only for another host.
            let trust = match wanted.take() {
                Some((of, trust)) if of.host() == place.host() => trust,
                _ => wanted_trust(fields, place, &ctx.context)?,
            };
            wanted = Some((place.clone(), trust.clone()));
            let trust = trust.unwrap_or_else(Trust::system);
            self.read_web_tier(ctx, urls.api_url(), &trust.tls)?;
            if fields.no_check {
                if let Some(api) = urls.separate_api_url() {
                    api_url::announce(ctx, api);
                }
                return Ok((urls, trust));
            }
            if let Some(checked) = self.check_portal(ctx, urls, trust)? {
                return Ok(checked);
            }
        }
    }

    /// Probes the portal until it answers or the user decides otherwise. `None` if the user wants
    /// to enter another URL.
    fn check_portal(
        &mut self,
        ctx: &mut CommandContext,
        mut urls: PortalUrls,
        mut trust: Trust,
    ) -> Result<Option<(PortalUrls, Trust)>, Failure> {
        // Why the browser's address does not answer, once that is known.
        let mut guarded = None;
        loop {
            let place = urls.api_url().clone();
            self.limit_presented(ctx, &urls, &trust.tls)?;
            let answer = connection_fields::probe(
                ctx,
                &place,
                &trust,
                &self.proxy,
                self.referer.as_deref(),
                self.presented(),
            );
            let error = match answer {
                Ok(info) => {
                    print_portal(ctx, &place, &info, &trust);
                    self.confirm_api_url(ctx, &urls, &trust, &info, guarded)?;
                    return Ok(Some((urls, trust)));
                }
                Err(error) => error,
            };
            let presented = self.presented();
            match find_elsewhere(ctx, &place, &trust, &self.proxy, &presented, &error) {
                Some(Elsewhere::Portal(found)) => {
                    let text = format!("{place} is not a portal; the portal is at {found}");
                    ctx.console.info(&text);
                    urls = match urls.separate_api_url() {
                        Some(_) => PortalUrls::new(urls.browser_url().clone(), Some(found))?,
                        None => found.into(),
                    };
                    continue;
                }
                Some(Elsewhere::Server(owner)) => {
                    let failure = server_address(&urls, owner.as_ref());
                    if !self.guided {
                        return Err(failure);
                    }
                    failure.print(&ctx.console);
                    return Ok(None);
                }
                None => {}
            }
            if !ctx.can_ask() {
                return Err(unchecked(error));
            }
            let why = error.to_string();
            match ask_after_failure(ctx, &urls, &trust.tls, error)? {
                NextStep::Retry(next) => trust = next,
                NextStep::Again => {}
                NextStep::Present(loaded) => self.certificate = Some(loaded),
                NextStep::AnswerAs(web_tier) => self.web_tier = web_tier,
                NextStep::SkipCheck => return Ok(Some((urls, trust))),
                NextStep::OtherUrl => return Ok(None),
                NextStep::ApiUrl(api) => {
                    if urls.separate_api_url().is_none() {
                        guarded = Some(why);
                    }
                    urls = PortalUrls::new(urls.browser_url().clone(), Some(api))?;
                }
            }
        }
    }

    /// Compares the portal's two addresses, and lets a person confirm the one that secrets go to.
    /// `guarded` is why the browser's address does not answer, so that it is not asked again.
    fn confirm_api_url(
        &self,
        ctx: &mut CommandContext,
        urls: &PortalUrls,
        trust: &Trust,
        info: &PortalInfo,
        guarded: Option<String>,
    ) -> Outcome {
        if urls.separate_api_url().is_none() {
            return Ok(());
        }
        let client = match guarded {
            Some(why) => Err(why),
            None => trust
                .http(
                    urls.browser_url(),
                    self.presented(),
                    &self.proxy,
                    self.referer.as_deref(),
                    &ctx.context,
                )
                .map_err(|error| error.to_string()),
        };
        let comparison = api_url::ask_and_compare(urls, client, &info.names());
        api_url::confirm(ctx, urls, &comparison)
    }

    fn kind(&self, ctx: &mut CommandContext) -> Result<GrantKind, Failure> {
        let answers_web_server = self.certificate.is_some() || self.web_tier != WebTier::None;
        match self.args.fields.auth_type.map(AuthType::kind) {
            Some(GrantKind::Network) if !answers_web_server => {
                Err(Error::invalid(Input::AuthType, NEEDS_ANSWER).into())
            }
            Some(kind) => Ok(kind),
            None if !self.guided => Ok(GrantKind::User),
            None => ask_kind(ctx, answers_web_server),
        }
    }

    fn grant(
        &self,
        ctx: &mut CommandContext,
        store: &ConnectionStore,
        portal: &PortalUrl,
        kind: GrantKind,
    ) -> Result<Grant, Failure> {
        match kind {
            GrantKind::User => {}
            GrantKind::Application => return Ok(Grant::Application),
            GrantKind::Network => return Ok(Grant::Network),
            GrantKind::ApiKey => {
                let end = api_key::expires_at(ctx, self.args.fields.expires.as_deref())?;
                return Ok(Grant::ApiKey {
                    expires_at: Some(end),
                });
            }
        }
        let redirect_uri = match &self.args.fields.redirect_uri {
            Some(uri) => uri.parse()?,
            None if self.guided => ask_redirect(ctx, store, portal)?,
            None => RedirectUri::OutOfBand,
        };
        Ok(Grant::User {
            redirect_uri,
            pkce: true,
        })
    }

    /// The client ID and the client secret of the application, for kinds that have one.
    fn registration(
        &self,
        ctx: &mut CommandContext,
        kind: GrantKind,
    ) -> Result<(String, GivenSecret), Failure> {
        let application = match kind {
            GrantKind::User => false,
            GrantKind::Application => true,
            GrantKind::Network | GrantKind::ApiKey => {
                return Ok((String::new(), GivenSecret::None))
            }
        };
        let client_id = self.client_id(ctx)?;
        let secret = self.secret(ctx, application, &client_id)?;
        Ok((client_id, secret))
    }

    fn client_id(&self, ctx: &mut CommandContext) -> Result<String, Failure> {
        if let Some(text) = &self.args.fields.client_id {
            return Ok(manage::check_client_id(text)?);
        }
        self.require_guided("--client-id", None)?;
        let question =
            "OAuth Client ID (from your portal's administrator, or the application's item page)";
        let answer = ctx.system.ask.text(question, None, &mut |text| {
            manage::check_client_id(text)
                .map(|_| ())
                .map_err(|why| why.to_string())
        })?;
        Ok(manage::check_client_id(&answer)?)
    }

    fn secret(
        &self,
        ctx: &mut CommandContext,
        application: bool,
        client_id: &str,
    ) -> Result<GivenSecret, Failure> {
        match connection_fields::secret(ctx, &self.args.fields.secret)? {
            GivenSecret::Text(text) => {
                let checked = connection_fields::checked(&text, client_id)?;
                return Ok(GivenSecret::Text(checked));
            }
            given @ GivenSecret::Command(_) => return Ok(given),
            GivenSecret::None if application => {
                return Err(Failure::usage_hint(
                    "an application connection needs a client secret",
                    "leave --no-client-secret out, or give --auth-type user",
                ))
            }
            GivenSecret::None => return Ok(GivenSecret::None),
            GivenSecret::Nothing => {}
        }
        let asked = self.guided || (application && ctx.can_ask());
        if !asked {
            return if application {
                Err(Failure::usage_hint(
                    "the application's client secret is missing, and there is no terminal for a prompt",
                    connection_fields::how_to_give_secret(),
                ))
            } else {
                Ok(GivenSecret::None)
            };
        }
        let asked = connection_fields::ask_secret(ctx, application, client_id)?;
        Ok(asked.map_or(GivenSecret::None, GivenSecret::Text))
    }
}

/// The failure where the portal could not be checked, and no person can decide about it.
fn unchecked(error: Error) -> Failure {
    let unchecked =
        "to add the connection without asking the portal: age-oauth connections add --no-check …";
    let hint = match hint(&error) {
        Some(hint) => format!("{hint}; or, {unchecked}"),
        None => unchecked.to_owned(),
    };
    Failure::Hinted { error, hint }
}

fn create(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    args: &AddArgs,
    (connection, trust, secret): Answers,
    certificate: Option<&NewClientCertificate>,
    presented: Presented,
) -> Result<Next, Failure> {
    let keychain = ctx.keychains(store).of(connection.keychain);
    let certificates = trust.pem().map(|(pem, _)| pem);
    let (client_secret, api_key) = match secret {
        FirstSecret::Nothing => (None, None),
        FirstSecret::ClientSecret(secret) => (Some(secret), None),
        FirstSecret::ApiKey(given) => {
            // A label that is taken would be found out only after the portal was asked.
            store.check_free(&connection.label)?;
            let key = api_key::verify_first(ctx, &connection, certificates, presented, given)?;
            (None, Some(key))
        }
    };
    let first = manage::create(
        store,
        &keychain,
        &connection,
        certificates,
        NewSecrets {
            client_secret,
            certificate,
            api_key,
        },
        &ctx.context,
    )?;
    let connection = &store.load(&connection.id)?;
    choose_default(ctx, store, args, connection, first)?;
    if args.json {
        warn_if_shared(ctx, store, connection);
        api_key::warn_long_lived(ctx, connection);
        return answer_json(ctx, store, connection);
    }
    ctx.answer(&format!(
        "[OK] Created connection: {}",
        escape(connection.label.as_str())
    ))?;
    if let Some(new) = certificate {
        client_certificate::describe(ctx, store, connection, new);
    }
    web_tier::describe(ctx, connection);
    match (connection.grant.kind(), &connection.secret_command) {
        (GrantKind::ApiKey, _) => api_key::describe(ctx, connection),
        (_, Some(command)) => secret_command::describe(ctx, command),
        (_, None) => {}
    }
    warn_if_shared(ctx, store, connection);
    api_url::say_if_unconfirmed(ctx, connection);
    sign_in_next(ctx, args, connection)
}

fn answer_json(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    connection: &Connection,
) -> Result<Next, Failure> {
    let default = store.default_id()?;
    ctx.answer_json(&ConnectionAnswer::of(connection, default.as_ref()))?;
    Ok(Next::Done)
}

fn choose_default(
    ctx: &CommandContext,
    store: &ConnectionStore,
    args: &AddArgs,
    connection: &Connection,
    first: bool,
) -> Outcome {
    if args.make_default {
        store.set_default(Some(&connection.id))?;
    } else if first && args.no_default {
        store.set_default(None)?;
    } else if !first {
        if let Some(default) = store.default_id()?.and_then(|id| store.load(&id).ok()) {
            ctx.console.info(&format!(
                "Default stays: {} (to change it: age-oauth connections use {})",
                escape(default.label.as_str()),
                shell_quoted(connection.label.as_str())
            ));
        }
    }
    Ok(())
}

/// `add --replace`: changes what the options give, and keeps the rest.
fn replace(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    connection: Connection,
    args: &AddArgs,
) -> Result<Next, Failure> {
    let (mut changes, presented) = changes(ctx, &connection, &args.fields)?;
    api_key::add_to_changes(ctx, &connection, &args.fields, &mut changes, presented)?;
    let id = connection.id.clone();
    apply(ctx, store, connection, &changes, None)?;
    if args.make_default {
        store.set_default(Some(&id))?;
    }
    if args.json {
        return answer_json(ctx, store, &store.load(&id)?);
    }
    if args.login {
        let connection = store.load(&id)?;
        return sign_in_next(ctx, args, &connection);
    }
    Ok(Next::Done)
}

/// Shows the next steps. A sign-in follows if `--login` is given, or if the user agrees.
fn sign_in_next(
    ctx: &mut CommandContext,
    args: &AddArgs,
    connection: &Connection,
) -> Result<Next, Failure> {
    use std::io::Write as _;
    ctx.system.out.flush()?;
    next_steps(ctx, connection);
    if connection.grant.kind() == GrantKind::ApiKey {
        return Ok(Next::Done);
    }
    let wanted = args.login || (ctx.can_ask() && ctx.system.ask.confirm("Sign in now?", true)?);
    if !wanted {
        return Ok(Next::Done);
    }
    ctx.selector = Some(Selector::Id(connection.id.to_string()));
    Ok(Next::SignIn)
}
