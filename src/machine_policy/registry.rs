//! Where the policy is on Windows: values that group policy writes below
//! `HKLM\Software\Policies`, which only administrators can change.

use serde_json::{json, Value};

use super::document::{self, Document, NamedFiles};
use super::{Defaults, Limits, Member, Policy, Unusable};

/// The key of the registry.
pub(super) const PLACE: &str = r"HKLM\Software\Policies\age-oauth";

/// A value of the registry, as far as a policy has such values.
#[derive(Clone, Debug)]
pub(super) enum RegistryValue {
    /// `REG_SZ`.
    Text(String),
    /// `REG_MULTI_SZ`.
    Texts(Vec<String>),
    /// `REG_DWORD`.
    Number(u32),
    /// Any other type.
    Other,
}

/// The member that a value sets; `None` for a name of no member. Windows has its own store of
/// certificate authorities, and this program judges no access lists of files there, so that no
/// member names a file.
fn member(name: &str) -> Option<Member> {
    let is_named = |member: &Member| {
        let is_for_windows = match member {
            Member::CertificateAuthorities | Member::EventLog => false,
            Member::Proxy
            | Member::Keychain
            | Member::Portals
            | Member::UnverifiedTls
            | Member::SecretsOnCommandLine
            | Member::SecretCommands
            | Member::ApiKeys
            | Member::Keychains
            | Member::LongestSignIn => true,
        };
        is_for_windows && member.as_str().replace('_', "").eq_ignore_ascii_case(name)
    };
    Member::ALL.iter().copied().find(is_named)
}

/// A switch of group policy is a number.
fn as_json(member: Member, value: RegistryValue) -> Result<Value, String> {
    let is_switch = match member {
        Member::UnverifiedTls
        | Member::SecretsOnCommandLine
        | Member::SecretCommands
        | Member::ApiKeys => true,
        Member::Proxy
        | Member::CertificateAuthorities
        | Member::Keychain
        | Member::EventLog
        | Member::Portals
        | Member::Keychains
        | Member::LongestSignIn => false,
    };
    match value {
        RegistryValue::Number(0) if is_switch => Ok(Value::Bool(false)),
        RegistryValue::Number(1) if is_switch => Ok(Value::Bool(true)),
        RegistryValue::Text(text) => Ok(Value::String(text)),
        RegistryValue::Texts(texts) => Ok(json!(texts)),
        RegistryValue::Number(number) => Err(format!("{number} is not a value of it")),
        RegistryValue::Other => Err("it has a type that no member has".to_owned()),
    }
}

/// Reads a policy from the values of a key.
pub(super) fn parse(values: Vec<(String, RegistryValue)>) -> Result<Policy, Unusable> {
    let mut groups = json!({"defaults": {}, "limits": {}});
    for (name, value) in values {
        let unusable = |why: String| Unusable {
            place: format!("the value {name} of {PLACE}"),
            why,
        };
        let known = member(&name);
        let known = known.ok_or_else(|| unusable("it is not a member of a policy".into()))?;
        let value = as_json(known, value).map_err(unusable)?;
        // Each value alone first, so that the error names it.
        let alone = json!({known.group(): {known.as_str(): value}});
        read(alone.clone()).map_err(unusable)?;
        groups[known.group()][known.as_str()] = alone[known.group()][known.as_str()].clone();
    }
    let place = PLACE.to_owned();
    let (defaults, limits) = read(groups).map_err(|why| Unusable {
        place: place.clone(),
        why,
    })?;
    Ok(Policy {
        place,
        defaults,
        limits,
        lines: Vec::new(),
    })
}

fn read(document: Value) -> Result<(Defaults, Limits), String> {
    let document: Document = serde_json::from_value(document).map_err(|why| why.to_string())?;
    document::check(document, &no_files()).map_err(|(_, why)| why)
}

/// No member that names a file gets here.
fn no_files() -> NamedFiles {
    NamedFiles {
        read: |_| Err("it is not a member of a policy on Windows".to_owned()),
    }
}

/// Reads the policy of this machine.
#[cfg(windows)]
pub(super) fn read_machine() -> super::Reading {
    /// `ERROR_FILE_NOT_FOUND` as an `HRESULT`.
    const NOT_FOUND: u32 = 0x8007_0002;
    let unusable = |why: String| Unusable {
        place: PLACE.to_owned(),
        why,
    };
    let key = PLACE.strip_prefix(r"HKLM\").unwrap_or(PLACE);
    let key = match windows_registry::LOCAL_MACHINE.open(key) {
        Ok(key) => key,
        Err(why) if why.code().0.cast_unsigned() == NOT_FOUND => return Ok(None),
        Err(why) => return Err(unusable(format!("it cannot be read: {}", why.message()))),
    };
    let cannot_read = |why: String| unusable(format!("it cannot be read: {why}"));
    let mut keys = key.keys().map_err(|why| cannot_read(why.message()))?;
    if let Some(below) = keys.next() {
        let why = format!("its key `{below}` is not a member of a policy");
        return Err(unusable(why));
    }
    let values = key.values().map_err(|why| cannot_read(why.message()))?;
    parse(values.map(|(name, value)| (name, typed(value))).collect()).map(Some)
}

#[cfg(windows)]
fn typed(value: windows_registry::Value) -> RegistryValue {
    use windows_registry::Type;
    let read = match value.ty() {
        Type::String => String::try_from(value).map(RegistryValue::Text),
        Type::MultiString => Vec::<String>::try_from(value).map(|mut texts| {
            texts.retain(|text| !text.is_empty());
            RegistryValue::Texts(texts)
        }),
        Type::U32 => u32::try_from(value).map(RegistryValue::Number),
        _ => return RegistryValue::Other,
    };
    read.unwrap_or(RegistryValue::Other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(name: &str, text: &str) -> (String, RegistryValue) {
        (name.to_owned(), RegistryValue::Text(text.to_owned()))
    }

    fn texts(name: &str, texts: &[&str]) -> (String, RegistryValue) {
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        (name.to_owned(), RegistryValue::Texts(texts))
    }

    #[test]
    fn rule_34_the_values_that_group_policy_writes_are_a_policy() {
        let policy = parse(vec![
            text("Proxy", "http://proxy:8080"),
            text("Keychain", "os"),
            texts("Portals", &["https://gis.example.com/portal"]),
            ("UnverifiedTls".into(), RegistryValue::Number(0)),
            ("SECRETSONCOMMANDLINE".into(), RegistryValue::Number(1)),
            ("SecretCommands".into(), RegistryValue::Number(0)),
            texts("Keychains", &["os"]),
            text("LongestSignIn", "14d"),
        ])
        .unwrap();
        let set: Vec<_> = policy
            .in_force()
            .into_iter()
            .map(|one| (one.member.as_str(), one.value))
            .collect();
        let expected = [
            ("proxy", "http://proxy:8080"),
            ("keychain", "os"),
            ("portals", "https://gis.example.com/portal"),
            ("unverified_tls", "not allowed"),
            ("secrets_on_command_line", "allowed"),
            ("secret_commands", "not allowed"),
            ("keychains", "os"),
            ("longest_sign_in", "14 days"),
        ];
        assert_eq!(
            set,
            expected.map(|(member, value)| (member, value.to_owned()))
        );
        let rule = policy.rule(Member::Portals).to_string();
        assert_eq!(rule, r"`portals` in HKLM\Software\Policies\age-oauth");
        assert!(parse(Vec::new()).unwrap().in_force().is_empty());
    }

    #[test]
    fn rule_34_a_value_that_is_not_understood_is_an_error_with_its_name() {
        for value in [
            text("Portal", "https://gis.example.com"),
            text("Portals", "https://gis.example.com"),
            texts("Portals", &["ftp://gis.example.com"]),
            texts("Portals", &["https://*.maps.arcgis.com"]),
            texts("CertificateAuthorities", &[r"C:\ca.pem"]),
            text("EventLog", r"C:\log"),
            ("UnverifiedTls".into(), RegistryValue::Number(2)),
            text("UnverifiedTls", "false"),
            ("LongestSignIn".into(), RegistryValue::Number(14)),
            text("LongestSignIn", "14"),
            text("Proxy", "system"),
            ("Keychain".into(), RegistryValue::Other),
        ] {
            let name = value.0.clone();
            let error = parse(vec![value]).unwrap_err();
            let place = format!(r"the value {name} of HKLM\Software\Policies\age-oauth");
            assert_eq!(error.place, place, "{}", error.why);
        }
    }
}
