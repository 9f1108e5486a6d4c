//! The entries of the Windows certificate store: which of them can be presented, and which one a
//! person means. Works on data, so that it is the same on every system.

use jiff::Timestamp;
#[cfg(any(windows, test))]
use x509_parser::certificate::X509Certificate;
#[cfg(any(windows, test))]
use x509_parser::x509::X509Name;

#[cfg(any(windows, test))]
use super::certificate::{clean, facts, parse, sha1, sha256, validity};
#[cfg(any(windows, test))]
use super::client_certificate::{is_for_clients, may_sign};
use crate::connection::{CertificateSource, ClientCertificateSetting, StoreCertificate, StoreName};
use crate::error::{CertificateFacts, KeyProblem};
#[cfg(any(windows, test))]
use crate::util::hex;

/// A certificate of the current user's personal store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreEntry {
    /// What the certificate says.
    pub facts: CertificateFacts,
    /// What a connection refers to it by.
    pub certificate: StoreCertificate,
    /// SHA-1 of its DER form in upper-case hexadecimal, as Windows shows it.
    pub thumbprint: String,
    /// The common name of its subject, or else the whole subject.
    pub name: String,
    /// The common name of its issuer, or else the whole issuer.
    pub issuer: String,
    /// When it expires.
    pub not_after: Timestamp,
    not_before: Timestamp,
    sha1: [u8; 20],
    common_names: Vec<String>,
    /// In DER, because different names can look the same.
    subject: Vec<u8>,
    issuer_name: Vec<u8>,
    key: Vec<u8>,
    may_sign: bool,
    is_for_clients: bool,
}

/// What a name means in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// This certificate.
    One(Box<StoreEntry>),
    /// One of these.
    Several(Vec<StoreEntry>),
    /// None; the reason is for people.
    None(String),
}

impl StoreEntry {
    /// `None` for what cannot be read as a certificate.
    #[cfg(any(windows, test))]
    pub(super) fn new(der: &[u8]) -> Option<Self> {
        let parsed = parse(der)?;
        let facts = facts(der)?;
        let own_names = common_names(parsed.subject());
        let shown =
            |names: &[String], whole: &str| names.last().map_or(whole, String::as_str).to_owned();
        let (start, end) = validity(der)?;
        let time = |seconds| Timestamp::from_second(seconds).unwrap_or_default();
        let sha1 = sha1(der);
        Some(Self {
            name: shown(&own_names, &facts.subject),
            issuer: shown(&common_names(parsed.issuer()), &facts.issuer),
            facts,
            certificate: StoreCertificate::new(sha256(der)),
            thumbprint: hex(&sha1).to_uppercase(),
            not_after: time(end),
            not_before: time(start),
            sha1,
            common_names: own_names,
            subject: parsed.subject().as_raw().to_vec(),
            issuer_name: parsed.issuer().as_raw().to_vec(),
            key: parsed.public_key().raw.to_vec(),
            may_sign: may_sign(&parsed),
            is_for_clients: is_for_clients(der) && !is_authority(&parsed),
        })
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }

    fn is_named(&self, name: &str) -> bool {
        let wanted = parts(name);
        let is_same = |parts: &[String]| !wanted.is_empty() && wanted == parts;
        let mut own = parts(&self.facts.subject);
        // Windows writes the parts of a name in either order.
        let is_subject = is_same(&own) || {
            own.reverse();
            is_same(&own)
        };
        let lower = name.to_lowercase();
        let common_name = match lower.split_once('=') {
            Some((key, value)) if key.trim() == "cn" => value.trim(),
            _ => &lower,
        };
        let is_own = |own: &String| own.to_lowercase() == common_name;
        is_subject || self.common_names.iter().any(is_own)
    }

    /// Whether it is of the subject and issuer of the other one.
    fn is_of(&self, other: &Self) -> bool {
        self.subject == other.subject && self.issuer_name == other.issuer_name
    }

    /// The same by what `meta.json` says of one that is not there any more.
    fn looks_of(&self, former: &ClientCertificateSetting) -> bool {
        self.facts.subject == former.subject && self.facts.issuer == former.issuer
    }
}

#[cfg(any(windows, test))]
fn common_names(name: &X509Name<'_>) -> Vec<String> {
    let names = name.iter_common_name();
    let names = names.filter_map(|name| name.as_str().ok());
    names.map(clean).collect()
}

/// Whether the certificate says that it is an authority's, which is not one to
/// present.
#[cfg(any(windows, test))]
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    let constraints = certificate.basic_constraints().ok().flatten();
    constraints.is_some_and(|constraints| constraints.value.ca)
}

/// The parts of a distinguished name, however they are set apart: `cn=rossi, ana`, `o=esri`. Text
/// behind a comma that has no key belongs to the value before it. Windows has other keys for some.
fn parts(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for piece in name.to_lowercase().split([',', '\n']) {
        let piece = piece.trim();
        match (piece.split_once('='), parts.last_mut()) {
            (None, Some(value)) => {
                value.push_str(", ");
                value.push_str(piece.trim_matches('"'));
            }
            (None, None) => parts.push(piece.to_owned()),
            (Some((key, value)), _) => {
                let value = value.trim().trim_matches('"');
                let key = match key.trim() {
                    "e" | "emailaddress" => "email",
                    "s" => "st",
                    "g" => "gn",
                    other => other,
                };
                parts.push(format!("{key}={value}"));
            }
        }
    }
    parts
}

/// Opens the private key of a certificate, without asking a person.
type OpenKey<'a> = &'a dyn Fn(&StoreEntry) -> Result<(), KeyProblem>;

/// The certificate that this name means among these. `open_key` says whether Windows has the
/// private key of one.
pub(super) fn choose(
    entries: Vec<StoreEntry>,
    name: &StoreName,
    now: Timestamp,
    open_key: OpenKey<'_>,
) -> StoreChoice {
    let by_digest = |is: &dyn Fn(&StoreEntry) -> bool| match entries.iter().find(|one| is(one)) {
        None => StoreChoice::None(
            "the personal store of this user has no certificate with this thumbprint".into(),
        ),
        Some(one) => match open_key(one) {
            Ok(()) => StoreChoice::One(Box::new(one.clone())),
            Err(why) => without_key(one, &why),
        },
    };
    match name {
        StoreName::Sha1(digest) => by_digest(&|one| one.sha1 == *digest),
        StoreName::Sha256(digest) => by_digest(&|one| one.certificate.sha256() == digest),
        StoreName::Any => {
            let usable =
                |one: &StoreEntry| one.is_for_clients && one.is_valid(now) && open_key(one).is_ok();
            one_of(entries.into_iter().filter(usable).collect(), || {
                "the personal store of this user has no certificate that can be presented: one with its private key, in its dates, issued for client authentication".into()
            })
        }
        StoreName::Subject(name) => by_subject(entries, name, now, open_key),
    }
}

fn by_subject(
    mut entries: Vec<StoreEntry>,
    name: &str,
    now: Timestamp,
    open_key: OpenKey<'_>,
) -> StoreChoice {
    entries.retain(|one| one.is_named(name));
    entries.sort_by_key(|one| one.not_after);
    let Some(last) = entries.last().cloned() else {
        return StoreChoice::None(
            "the personal store of this user has no certificate of this subject".into(),
        );
    };
    entries.retain(|one| one.is_valid(now));
    if entries.is_empty() {
        return StoreChoice::None(format!(
            "its certificate of this subject is valid from {} to {}",
            last.facts.not_before, last.facts.not_after
        ));
    }
    entries.retain(|one| one.may_sign);
    if entries.is_empty() {
        return StoreChoice::None(
            "its certificate of this subject is not for signing, by its key usage; give its thumbprint to present it nevertheless".into(),
        );
    }
    let mut problem = KeyProblem::Missing;
    entries.retain(|one| match open_key(one) {
        Ok(()) => true,
        Err(why) => {
            problem = why;
            false
        }
    });
    // One for servers, for e-mail or for code may have the same name.
    if entries.iter().any(|one| one.is_for_clients) {
        entries.retain(|one| one.is_for_clients);
    }
    let Some(best) = entries.last() else {
        return without_key(&last, &problem);
    };
    // A renewed certificate may have the key of the former one. A card has several keys of the same
    // subject and issuer, and only a person knows which of them the web server takes.
    if entries
        .iter()
        .all(|one| one.is_of(best) && one.key == best.key)
    {
        return StoreChoice::One(Box::new(best.clone()));
    }
    StoreChoice::Several(entries)
}

fn one_of(mut entries: Vec<StoreEntry>, none: impl FnOnce() -> String) -> StoreChoice {
    entries.sort_by(|one, other| {
        let key = |entry: &StoreEntry| (entry.facts.subject.clone(), entry.not_after);
        key(one).cmp(&key(other))
    });
    match (entries.pop(), entries.is_empty()) {
        (None, _) => StoreChoice::None(none()),
        (Some(only), true) => StoreChoice::One(Box::new(only)),
        (Some(last), false) => {
            entries.push(last);
            StoreChoice::Several(entries)
        }
    }
}

fn without_key(entry: &StoreEntry, why: &KeyProblem) -> StoreChoice {
    let subject = &entry.facts.subject;
    StoreChoice::None(match why {
        KeyProblem::NoCard => {
            format!("the private key for {subject} is on a card or a device that is not there; insert it, then run the command again")
        }
        // Windows may also report this of a card that is not there.
        KeyProblem::Missing | KeyProblem::Unattended | KeyProblem::Canceled => {
            format!("Windows has no private key for {subject} that this program can use; if it is on a card, insert the card")
        }
        KeyProblem::WrongPin | KeyProblem::PinLocked | KeyProblem::Failed(_) => {
            format!("Windows does not open the private key for {subject}: {why}")
        }
    })
}

/// The certificate that takes the place of one that a connection refers to: of the same subject and
/// issuer, for clients, with a later end, and valid now. If the former one is gone, what
/// `meta.json` says of it is all that is left. A person is told the answer, and nothing is
/// presented by it.
pub(super) fn renewed(
    mut entries: Vec<StoreEntry>,
    former: &ClientCertificateSetting,
    now: Timestamp,
    has_key: &dyn Fn(&StoreEntry) -> bool,
) -> Option<StoreEntry> {
    let same = match &former.source {
        CertificateSource::Store(certificate) => {
            let is_former = |one: &&StoreEntry| one.certificate == *certificate;
            entries.iter().find(is_former).cloned()
        }
        CertificateSource::Keychain | CertificateSource::File(_) | CertificateSource::Token(_) => {
            None
        }
    };
    let replaces = |one: &StoreEntry| match &same {
        Some(same) => one.is_of(same),
        None => one.looks_of(former),
    };
    entries.retain(|one| {
        replaces(one)
            && one.is_for_clients
            && one.not_after > former.not_after
            && one.is_valid(now)
            && has_key(one)
    });
    entries.into_iter().max_by_key(|one| one.not_after)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{
        date_time_ymd, BasicConstraints, CertificateParams, CertifiedIssuer, DnType,
        ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    };

    use super::*;

    const TODAY: &str = "2026-06-01T00:00:00Z";

    fn now() -> Timestamp {
        TODAY.parse().unwrap()
    }

    fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        [params.not_before, params.not_after] = [2020, 2040].map(|year| date_time_ymd(year, 1, 1));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A certificate of this name for this purpose, valid for these years.
    fn entry(
        name: &str,
        issuer: &CertifiedIssuer<'_, KeyPair>,
        years: [i32; 2],
        purpose: Option<ExtendedKeyUsagePurpose>,
    ) -> StoreEntry {
        let key = KeyPair::generate().unwrap();
        with(&key, name, issuer, years, |params| {
            params.extended_key_usages.extend(purpose);
        })
    }

    /// The same of this key, with what `change` adds.
    fn with(
        key: &KeyPair,
        name: &str,
        issuer: &CertifiedIssuer<'_, KeyPair>,
        years: [i32; 2],
        change: impl FnOnce(&mut CertificateParams),
    ) -> StoreEntry {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Esri");
        params.distinguished_name.push(DnType::CommonName, name);
        [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        change(&mut params);
        let made = params.signed_by(key, issuer).unwrap();
        StoreEntry::new(made.der()).unwrap()
    }

    fn client(name: &str, by: &CertifiedIssuer<'_, KeyPair>, years: [i32; 2]) -> StoreEntry {
        entry(name, by, years, Some(ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// What the name means if Windows has all private keys.
    fn chosen(entries: &[&StoreEntry], name: &str) -> StoreChoice {
        let entries = entries.iter().copied().cloned().collect();
        choose(entries, &StoreName::from(name), now(), &|_| Ok(()))
    }

    #[track_caller]
    fn is(entries: &[&StoreEntry], name: &str, wanted: &StoreEntry) {
        assert_eq!(
            chosen(entries, name),
            StoreChoice::One(Box::new(wanted.clone())),
            "{name}"
        );
    }

    #[test]
    fn rule_24e_without_a_name_it_is_the_only_one_that_can_be_presented() {
        let by = issuer("root");
        let ana = client("Ana", &by, [2026, 2027]);
        let expired = client("Ana", &by, [2024, 2025]);
        let later = client("Ana", &by, [2027, 2028]);
        let server = entry(
            "Web",
            &by,
            [2026, 2027],
            Some(ExtendedKeyUsagePurpose::ServerAuth),
        );
        let authority = StoreEntry::new(by.der()).unwrap();
        is(&[&expired, &server, &ana, &later, &authority], "", &ana);
        for purpose in [None, Some(ExtendedKeyUsagePurpose::Any)] {
            let any = entry("Ana", &by, [2026, 2027], purpose);
            is(&[&any, &server], "", &any);
            assert_eq!(
                chosen(&[&ana, &any, &expired], ""),
                StoreChoice::Several(vec![ana.clone(), any])
            );
        }
        assert!(matches!(
            chosen(&[&expired, &server], ""),
            StoreChoice::None(_)
        ));
        let without_key = choose(vec![ana], &StoreName::Any, now(), &|_| {
            Err(KeyProblem::NoCard)
        });
        assert!(matches!(without_key, StoreChoice::None(_)));
    }

    #[test]
    fn a_thumbprint_names_exactly_one_whatever_its_dates() {
        let by = issuer("root");
        let (ana, former) = (
            client("Ana", &by, [2026, 2027]),
            client("Ana", &by, [2024, 2025]),
        );
        let all = [&ana, &former];
        for one in all {
            is(&all, &one.thumbprint, one);
            is(&all, &one.thumbprint.to_lowercase(), one);
            is(&all, &one.facts.sha256, one);
        }
        assert!(matches!(
            chosen(&[&ana], &former.thumbprint),
            StoreChoice::None(_)
        ));
        let name = StoreName::from(&*ana.thumbprint);
        for name in [name, StoreName::from("Ana")] {
            for (problem, expected) in [
                (KeyProblem::Missing, "Windows has no private key for O=Esri, CN=Ana that this program can use; if it is on a card, insert the card"),
                (KeyProblem::NoCard, "the private key for O=Esri, CN=Ana is on a card or a device that is not there; insert it, then run the command again"),
            ] {
                let closed = |_: &StoreEntry| Err(problem.clone());
                let choice = choose(vec![ana.clone()], &name, now(), &closed);
                assert_eq!(choice, StoreChoice::None(expected.into()));
            }
        }
    }

    #[test]
    fn rule_24e_a_subject_names_the_only_key_of_it() {
        let (by, other) = (issuer("root"), issuer("other"));
        let key = KeyPair::generate().unwrap();
        let former = with(&key, "Ana", &by, [2025, 2027], |_| ());
        let renewed = with(&key, "Ana", &by, [2026, 2028], |_| ());
        let expired = client("Ana", &by, [2020, 2021]);
        let otto = client("Otto", &by, [2026, 2029]);
        let all = [&renewed, &former, &expired, &otto];
        for name in [
            "Ana",
            "ANA",
            "CN=Ana",
            "O=Esri, CN=Ana",
            "CN=Ana,O=Esri",
            "CN = Ana\nO = \"Esri\"",
        ] {
            is(&all, name, &renewed);
        }
        for name in ["An", "CN=An", "CN=Ana, O=Other", "O=Ana", "*", "Esri"] {
            assert!(matches!(chosen(&all, name), StoreChoice::None(_)), "{name}");
        }
        let comma = client("Rossi, Ana", &by, [2026, 2027]);
        for name in ["Rossi, Ana", "CN=Rossi, Ana", "CN=Rossi, Ana, O=Esri"] {
            is(&[&renewed, &comma], name, &comma);
        }
        let why = "its certificate of this subject is valid from 2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z";
        assert_eq!(chosen(&[&expired], "Ana"), StoreChoice::None(why.into()));
        // The person decides, who knows which issuer the web server trusts.
        let foreign = client("Ana", &other, [2026, 2027]);
        assert_eq!(
            chosen(&[&foreign, &renewed], "Ana"),
            StoreChoice::Several(vec![foreign, renewed.clone()])
        );
        // So do several keys of one subject and issuer, as a card has them.
        let other_key = client("Ana", &by, [2026, 2027]);
        assert_eq!(
            chosen(&[&renewed, &other_key], "Ana"),
            StoreChoice::Several(vec![other_key, renewed.clone()])
        );
        let server = entry(
            "Ana",
            &by,
            [2026, 2030],
            Some(ExtendedKeyUsagePurpose::ServerAuth),
        );
        is(&[&server, &renewed], "Ana", &renewed);
        is(&[&server], "Ana", &server);
    }

    #[test]
    fn rule_24e_a_certificate_for_encryption_is_not_one_to_present() {
        let by = issuer("root");
        let usage = |usages: &'static [KeyUsagePurpose]| {
            let key = KeyPair::generate().unwrap();
            with(&key, "Ana", &by, [2026, 2027], |params| {
                params.key_usages.extend_from_slice(usages);
            })
        };
        let signs = usage(&[
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ]);
        let encrypts = usage(&[KeyUsagePurpose::KeyEncipherment]);
        let vouches = usage(&[KeyUsagePurpose::ContentCommitment]);
        for name in ["", "Ana"] {
            is(&[&encrypts, &signs, &vouches], name, &signs);
        }
        for name in ["", "Ana"] {
            let choice = chosen(&[&encrypts, &vouches], name);
            assert!(matches!(choice, StoreChoice::None(_)), "{name}");
        }
        // A thumbprint still names it.
        is(&[&encrypts, &signs], &encrypts.thumbprint, &encrypts);
    }

    #[test]
    fn a_subject_is_found_as_windows_shows_it() {
        let by = issuer("root");
        let key = KeyPair::generate().unwrap();
        let ana = with(
            &key,
            "Ana\u{200b}\u{202e} Rossi",
            &by,
            [2026, 2027],
            |params| {
                let name = &mut params.distinguished_name;
                name.push(DnType::StateOrProvinceName, "Bern");
                let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
                let address = "ana@example.com".try_into().unwrap();
                name.push(email, rcgen::DnValue::Ia5String(address));
            },
        );
        for name in [
            "E=ana@example.com, S=Bern, CN=Ana Rossi, O=Esri",
            "E = ana@example.com\nS = Bern\nCN = Ana Rossi\nO = Esri",
            "O=Esri, CN=Ana Rossi, ST=Bern, emailAddress=ana@example.com",
            "Ana Rossi",
        ] {
            is(&[&ana], name, &ana);
        }
        // What shows nothing does not reach a terminal.
        assert_eq!(ana.name, "Ana Rossi");
        assert!(ana
            .facts
            .subject
            .starts_with("O=Esri, CN=Ana Rossi, ST=Bern"));
    }

    #[test]
    fn rule_24e_a_renewed_one_has_the_same_subject_and_issuer_and_a_later_end() {
        let (by, other) = (issuer("root"), issuer("other"));
        let former = client("Ana", &by, [2024, 2026]);
        let setting = ClientCertificateSetting {
            source: CertificateSource::Store(former.certificate),
            subject: former.facts.subject.clone(),
            issuer: former.facts.issuer.clone(),
            not_after: former.not_after,
            sha256: former.facts.sha256.clone(),
        };
        let found = |entries: &[&StoreEntry]| {
            let entries = entries.iter().copied().cloned().collect();
            renewed(entries, &setting, now(), &|_| true)
        };
        let with_lie = |entry: &StoreEntry| {
            let mut lie = setting.clone();
            lie.subject = "O=Esri, CN=Boss".into();
            let entries = vec![former.clone(), entry.clone()];
            renewed(entries, &lie, now(), &|_| true)
        };
        let next = client("Ana", &by, [2026, 2027]);
        let latest = client("Ana", &by, [2026, 2028]);
        let unrelated = [
            &client("Otto", &by, [2026, 2029]),
            &client("Ana", &other, [2026, 2029]),
            &client("Ana", &by, [2027, 2029]),
            &client("Ana", &by, [2020, 2025]),
            &entry(
                "Ana",
                &by,
                [2026, 2029],
                Some(ExtendedKeyUsagePurpose::ServerAuth),
            ),
            &with(
                &KeyPair::generate().unwrap(),
                "Ana",
                &by,
                [2026, 2029],
                |params| params.key_usages.push(KeyUsagePurpose::KeyEncipherment),
            ),
            &former,
        ];
        // With the former one, and when it is gone.
        for others in [&unrelated[..], &unrelated[..6]] {
            assert_eq!(found(others), None);
            let all = [others, &[&next, &latest]].concat();
            assert_eq!(found(&all), Some(latest.clone()));
        }
        assert_eq!(found(&[&latest]), Some(latest.clone()));
        // While the former one is there, it says whose it is, and not `meta.json`.
        let boss = client("Boss", &by, [2026, 2028]);
        assert_eq!(with_lie(&latest), Some(latest.clone()));
        assert_eq!(with_lie(&boss), None);
        assert_eq!(renewed(vec![latest], &setting, now(), &|_| false), None);
    }
}
