//! `connections add`: guided where a person sits, by flags elsewhere. Every answer is checked as it is given.

use crate::cli::args::{AddArgs, AuthType};
use crate::cli::failure::{certificate, Failure, Outcome};
use crate::cli::format::{escape, shell_quoted};
use crate::cli::hints::hint;
use crate::cli::CommandContext;
use crate::connection::{Connection, Grant, Label, PortalUrl, Proxy, RedirectUri};
use crate::error::{Error, TlsFailure, Unreachable};
use crate::manage;
use crate::portal::PortalInfo;
use crate::secret::Secret;
use crate::store::{ConnectionStore, Selector};

use crate::cli::shared::connection_fields::{self, GivenSecret, Trust};

/// Suggested where the code is to be caught on this machine; any free port that is registered will do.
const LOOPBACK: &str = "http://127.0.0.1:53682/callback";

pub(super) fn add(ctx: &mut CommandContext, args: &AddArgs) -> Outcome {
    let by_card = super::share::accept(ctx, args)?;
    let args = by_card.as_ref().unwrap_or(args);
    let store = ctx.store()?;
    if let Some(existing) = taken(&store, args)? {
        return super::edit::replace(ctx, &store, existing, args);
    }
    let guided = ctx.person()
        && [&args.label, &args.fields.portal, &args.fields.client_id]
            .iter()
            .any(|given| given.is_none());
    let form = Form::new(args, guided)?;
    let (connection, trust, secret) = form.fill(ctx, &store)?;
    create(ctx, &store, args, &connection, &trust, secret)
}

/// The connection that has the wanted label already, where `--replace` allows to update it.
fn taken(store: &ConnectionStore, args: &AddArgs) -> Result<Option<Connection>, Failure> {
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
                "choose another label, or update it: age-oauth connections add --label {} --replace …",
                shell_quoted(&label)
            ),
            error: Error::NameTaken { label },
        }),
        Err(error) => Err(error.into()),
    }
}

/// The answers that flags have given, and whether the rest is asked for.
struct Form<'a> {
    args: &'a AddArgs,
    guided: bool,
    proxy: Proxy,
    referer: Option<String>,
}

type Filled = (Connection, Trust, Option<Secret>);

impl<'a> Form<'a> {
    fn new(args: &'a AddArgs, guided: bool) -> Result<Self, Failure> {
        let fields = &args.fields;
        Ok(Self {
            args,
            guided,
            proxy: connection_fields::proxy(fields)?.unwrap_or(Proxy::System),
            referer: fields
                .referer
                .as_deref()
                .map(manage::check_referer)
                .transpose()?,
        })
    }

    fn fill(&self, ctx: &mut CommandContext, store: &ConnectionStore) -> Result<Filled, Failure> {
        // What cannot work is said before anybody types anything.
        let keychain = connection_fields::usable_keychain(ctx, store, self.args.fields.keychain)?;
        let label = self.label(ctx, store)?;
        let (portal, trust) = self.portal(ctx)?;
        let application = self.is_application(ctx)?;
        let grant = self.grant(ctx, application)?;
        let client_id = self.client_id(ctx)?;
        let secret = self.secret(ctx, application, &client_id)?;
        let mut connection = Connection::new(label, portal, grant, client_id);
        connection.tls = match &trust.tls {
            crate::connection::Tls::Ca(_) => {
                crate::connection::Tls::Ca(store.ca_path(&connection.id))
            }
            other => other.clone(),
        };
        connection.ca_source = trust.pem().map(|(_, source)| source.to_owned());
        connection.proxy = self.proxy.clone();
        connection.referer.clone_from(&self.referer);
        connection.keychain = keychain;
        connection.tags.clone_from(&self.args.fields.tags);
        connection.created_at = Some(ctx.context.now());
        Ok((connection, trust, secret))
    }

    fn label(&self, ctx: &mut CommandContext, store: &ConnectionStore) -> Result<Label, Failure> {
        if let Some(label) = &self.args.label {
            return Ok(label.parse()?);
        }
        self.must_be_guided("--label", None)?;
        let answer = ctx.system.ask.text(
            "What do you call this connection (prod, my_portal, …)",
            None,
            &mut |text| {
                let label: Label = text.parse().map_err(|why: Error| why.to_string())?;
                store.check_free(&label).map_err(|why| why.to_string())
            },
        )?;
        Ok(answer.parse()?)
    }

    /// Without a person, a missing value is an error that names what would have supplied it.
    fn must_be_guided(&self, flag: &str, variable: Option<&str>) -> Outcome {
        if self.guided {
            return Ok(());
        }
        let or = variable.map_or_else(String::new, |name| format!(", or set {name}"));
        Err(Failure::usage_hint(
            format!("{flag} is missing, and nobody can be asked"),
            format!("give {flag}{or}"),
        ))
    }

    fn portal(&self, ctx: &mut CommandContext) -> Result<(PortalUrl, Trust), Failure> {
        let mut given = self.args.fields.portal.clone();
        loop {
            let portal: PortalUrl = if let Some(text) = given.take() {
                text.parse()?
            } else {
                self.must_be_guided("--portal", None)?;
                ask_portal(ctx)?
            };
            let trust =
                connection_fields::wanted_trust(&self.args.fields, &ctx.context.environment)?
                    .unwrap_or_else(Trust::system);
            if self.args.fields.no_check {
                return Ok((portal, trust));
            }
            if let Some(trust) = self.reach(ctx, &portal, trust)? {
                return Ok((portal, trust));
            }
        }
    }

    /// Asks the portal who it is until that works or the person decides; nothing where another address shall be given.
    fn reach(
        &self,
        ctx: &mut CommandContext,
        portal: &PortalUrl,
        mut trust: Trust,
    ) -> Result<Option<Trust>, Failure> {
        loop {
            let answer = connection_fields::probe(
                ctx,
                portal,
                &trust.tls,
                &self.proxy,
                self.referer.as_deref(),
            );
            let error = match answer {
                Ok(info) => {
                    introduce(ctx, portal, &info, &trust);
                    return Ok(Some(trust));
                }
                Err(error) => error,
            };
            if !ctx.person() {
                let without = "to create it without asking the portal: age-oauth connections add --no-check …";
                let hint = match hint(&error) {
                    Some(mend) => format!("{mend}; or, {without}"),
                    None => without.to_owned(),
                };
                return Err(Failure::Hinted { error, hint });
            }
            match decide(ctx, portal, error)? {
                Decided::Try(next) => trust = next,
                Decided::Keep => return Ok(Some(trust)),
                Decided::Another => return Ok(None),
            }
        }
    }

    fn is_application(&self, ctx: &mut CommandContext) -> Result<bool, Failure> {
        match self.args.fields.auth_type {
            Some(kind) => Ok(kind == AuthType::App),
            None if !self.guided => Ok(false),
            None => {
                let choices = [
                    "a person: you sign in with your browser (user authentication)".to_owned(),
                    "an application: no person, a client secret (app authentication)".to_owned(),
                ];
                Ok(ctx
                    .system
                    .ask
                    .choose("Who shall the tokens be for", &choices, 0)?
                    == 1)
            }
        }
    }

    fn grant(&self, ctx: &mut CommandContext, application: bool) -> Result<Grant, Failure> {
        if application {
            return Ok(Grant::Application);
        }
        let redirect_uri = match &self.args.fields.redirect_uri {
            Some(uri) => uri.parse()?,
            None if self.guided => ask_redirect(ctx)?,
            None => RedirectUri::OutOfBand,
        };
        Ok(Grant::User {
            redirect_uri,
            pkce: true,
        })
    }

    fn client_id(&self, ctx: &mut CommandContext) -> Result<String, Failure> {
        if let Some(text) = &self.args.fields.client_id {
            return Ok(manage::check_client_id(text)?);
        }
        self.must_be_guided("--client-id", None)?;
        ctx.console.info(
            "The portal shows the client ID on the page of the application's item (developer credentials).",
        );
        let answer = ctx.system.ask.text("Client ID", None, &mut |text| {
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
    ) -> Result<Option<Secret>, Failure> {
        match connection_fields::secret(ctx, &self.args.fields.secret)? {
            GivenSecret::Text(text) => {
                return Ok(Some(connection_fields::checked(&text, client_id)?))
            }
            GivenSecret::None if application => {
                return Err(Failure::usage(
                    "an application cannot do without its client secret",
                ))
            }
            GivenSecret::None => return Ok(None),
            GivenSecret::Nothing => {}
        }
        let asked = self.guided || (application && ctx.person());
        if !asked {
            return if application {
                Err(Failure::usage_hint(
                    "an application's client secret is missing, and nobody can be asked",
                    "give --client-secret-stdin or --client-secret-file, or set AGE_OAUTH_CLIENT_SECRET",
                ))
            } else {
                Ok(None)
            };
        }
        ask_secret(ctx, application, client_id)
    }
}

enum Decided {
    /// Ask again with these certificates.
    Try(Trust),
    /// Store it as it is.
    Keep,
    /// Another address.
    Another,
}

/// What cannot be reached is told with its reason; then the person decides.
fn decide(ctx: &mut CommandContext, portal: &PortalUrl, error: Error) -> Result<Decided, Failure> {
    let certificate = match &error {
        Error::Unreachable {
            why: Unreachable::Tls(failure),
            ..
        } => Some(failure.clone()),
        Error::Unreachable { .. } | Error::Refused { .. } => None,
        _ => return Err(error.into()),
    };
    Failure::from(error).print_without_hint(&ctx.console);
    match certificate {
        Some(failure) => decide_tls(ctx, portal, &failure),
        None => decide_plain(ctx),
    }
}

fn ask_portal(ctx: &mut CommandContext) -> Result<PortalUrl, Failure> {
    let question = "Portal address, as in your browser (https://gis.example.com/portal)";
    let answer = ctx.system.ask.text(question, None, &mut |text| {
        text.parse::<PortalUrl>()
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    Ok(answer.parse()?)
}

fn introduce(ctx: &CommandContext, portal: &PortalUrl, info: &PortalInfo, trust: &Trust) {
    let name = info.name.as_deref().unwrap_or("a portal without a name");
    ctx.console.info(&format!(
        "[OK] {portal} is {} ({}).",
        escape(name),
        escape(&info.version)
    ));
    match trust.tls {
        crate::connection::Tls::Unverified => {}
        _ if portal.as_str().starts_with("http://") => {}
        _ => ctx.console.info("[OK] Its certificate is verified."),
    }
}

fn decide_tls(
    ctx: &mut CommandContext,
    portal: &PortalUrl,
    failure: &TlsFailure,
) -> Result<Decided, Failure> {
    let mut choices = vec![
        "Give the file of the authority that signed it (PEM or DER)".to_owned(),
        "Trust exactly this certificate, after comparing its fingerprint".to_owned(),
        "Do not verify certificates of this portal (unsafe)".to_owned(),
        "Enter another address".to_owned(),
    ];
    if failure.chain.is_empty() {
        choices.remove(1);
    }
    let connection_flag = ctx.system.ask.choose("What shall be done", &choices, 0)?;
    let connection_flag = if failure.chain.is_empty() && connection_flag > 0 {
        connection_flag + 1
    } else {
        connection_flag
    };
    match connection_flag {
        0 => ask_ca(ctx).map(Decided::Try),
        1 => pin(ctx, portal, failure),
        2 => Ok(Decided::Try(Trust::unverified())),
        _ => Ok(Decided::Another),
    }
}

fn ask_ca(ctx: &mut CommandContext) -> Result<Trust, Failure> {
    let environment = ctx.context.environment.clone();
    let answer = ctx.system.ask.text("Certificate file", None, &mut |text| {
        Trust::file(text, &environment)
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    Ok(Trust::file(&answer, &environment)?)
}

fn pin(
    ctx: &mut CommandContext,
    portal: &PortalUrl,
    failure: &TlsFailure,
) -> Result<Decided, Failure> {
    for line in certificate(failure) {
        ctx.console.print(&format!("  {}", escape(&line)));
    }
    let question = "Ask the portal's administrator for the fingerprint. Is it the same?";
    match failure.chain.first() {
        Some(leaf) if ctx.system.ask.confirm(question, false)? => {
            Ok(Decided::Try(Trust::exactly(leaf, portal)?))
        }
        _ => Ok(Decided::Another),
    }
}

fn decide_plain(ctx: &mut CommandContext) -> Result<Decided, Failure> {
    let choices = [
        "Enter the address again".to_owned(),
        "Keep it as it is, without having asked the portal".to_owned(),
    ];
    match ctx.system.ask.choose("What shall be done", &choices, 0)? {
        0 => Ok(Decided::Another),
        _ => Ok(Decided::Keep),
    }
}

fn ask_redirect(ctx: &mut CommandContext) -> Result<RedirectUri, Failure> {
    let choices = [
        "I paste a code that the portal shows (works everywhere)".to_owned(),
        "It is caught on this machine (needs a redirect URI with a port)".to_owned(),
    ];
    let connection_flag = ctx
        .system
        .ask
        .choose("How shall the sign-in come back", &choices, 0)?;
    if connection_flag == 0 {
        return Ok(RedirectUri::OutOfBand);
    }
    let answer = ctx.system.ask.text(
        "Redirect URI, exactly as registered",
        Some(LOOPBACK),
        &mut |text| match text.parse() {
            Ok(RedirectUri::Loopback(_)) => Ok(()),
            Ok(_) => Err("that is not on this machine; http://127.0.0.1:53682/callback is".into()),
            Err(why) => Err(Error::to_string(&why)),
        },
    )?;
    let uri: RedirectUri = answer.parse()?;
    ctx.console.print(&format!(
        "Register this redirect URI with the application at the portal: {uri}"
    ));
    Ok(uri)
}

/// Asks without echo; a person's connection may do without.
pub(super) fn ask_secret(
    ctx: &mut CommandContext,
    required: bool,
    client_id: &str,
) -> Result<Option<Secret>, Failure> {
    let question = if required {
        "Client secret (not shown)"
    } else {
        "Client secret (not shown; Enter for none, PKCE stands in)"
    };
    let answer = ctx.system.ask.secret(question, &mut |text| {
        if text.trim().is_empty() && !required {
            return Ok(());
        }
        manage::check_client_secret(text, client_id)
            .map(|_| ())
            .map_err(|why| why.to_string())
    })?;
    if answer.expose().trim().is_empty() {
        return Ok(None);
    }
    let secret = connection_fields::checked(&answer, client_id)?;
    ctx.console.info("[OK] OAuth Client Secret captured.");
    Ok(Some(secret))
}

fn create(
    ctx: &mut CommandContext,
    store: &ConnectionStore,
    args: &AddArgs,
    connection: &Connection,
    trust: &Trust,
    secret: Option<Secret>,
) -> Outcome {
    let keychain = ctx.keychains(store).of(connection.keychain);
    let first = manage::create(
        store,
        &keychain,
        connection,
        trust.pem().map(|(pem, _)| pem),
        secret,
        &ctx.context,
    )?;
    settle_default(ctx, store, args, connection, first)?;
    ctx.answer(&format!(
        "[OK] Created connection: {}",
        escape(connection.label.as_str())
    ))?;
    sign_in_at_once(ctx, args, connection)
}

fn settle_default(
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

/// Signs in where that was asked for, or where a person wants it; else tells what comes next.
pub(super) fn sign_in_at_once(
    ctx: &mut CommandContext,
    args: &AddArgs,
    connection: &Connection,
) -> Outcome {
    use std::io::Write as _;
    ctx.system.out.flush()?;
    super::login::next_steps(ctx, connection);
    let wanted = args.login || (ctx.person() && ctx.system.ask.confirm("Sign in now?", true)?);
    if !wanted {
        return Ok(());
    }
    ctx.selector = Some(Selector::Id(connection.id.to_string()));
    super::login(ctx, &crate::cli::args::LoginArgs::default())
}
