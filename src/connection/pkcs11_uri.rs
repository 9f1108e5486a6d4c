//! The address of a certificate on a smart card or another PKCS#11 token (RFC 7512).

use std::fmt;
use std::str::FromStr;

use super::is_control;
use crate::error::Error;
use crate::util::percent_decoded;

/// Names a token and an object on it, as `p11tool --list-all` and `pkcs11-tool` print them.
///
/// Only what identifies them is accepted. The parts of RFC 7512 that name a library to load, or
/// where a PIN is, are refused: a file could have the program run code with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pkcs11Uri {
    text: String,
    pub(crate) token: TokenName,
    pub(crate) object: ObjectName,
}

/// What identifies the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenName {
    pub(crate) label: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) manufacturer: Option<String>,
}

/// What identifies the certificate on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) label: Option<String>,
    pub(crate) id: Option<Vec<u8>>,
}

impl Pkcs11Uri {
    /// What every address begins with.
    pub const SCHEME: &str = "pkcs11:";
}

impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pkcs11Uri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let attributes = text
            .strip_prefix(Self::SCHEME)
            .ok_or_else(|| invalid("it begins with `pkcs11:`"))?;
        if let Some((_, query)) = attributes.split_once('?') {
            let name = query.split('=').next().unwrap_or_default();
            return Err(refused(name));
        }
        if text.contains(is_control) {
            return Err(invalid("it contains control characters"));
        }
        let mut uri = Self {
            text: text.to_owned(),
            ..Self::default()
        };
        for attribute in attributes.split(';').filter(|one| !one.is_empty()) {
            uri.take(attribute)?;
        }
        if uri.token == TokenName::default() {
            return Err(invalid(
                "it names no token: `pkcs11:token=NAME;object=NAME`",
            ));
        }
        Ok(uri)
    }
}

impl Pkcs11Uri {
    fn take(&mut self, attribute: &str) -> Result<(), Error> {
        let Some((name, value)) = attribute.split_once('=') else {
            return Err(invalid("each of its parts is a name, `=` and a value"));
        };
        let bytes: Vec<u8> = percent_decoded(value).collect();
        let text = || {
            let text = String::from_utf8(bytes.clone()).ok();
            let text = text.filter(|text| !text.is_empty() && !text.contains(char::is_control));
            text.ok_or_else(|| invalid(&format!("the value of `{name}` is not text")))
        };
        let place = match name {
            "token" => &mut self.token.label,
            "serial" => &mut self.token.serial,
            "model" => &mut self.token.model,
            "manufacturer" => &mut self.token.manufacturer,
            "object" => &mut self.object.label,
            "id" if !bytes.is_empty() && self.object.id.is_none() => {
                self.object.id = Some(bytes);
                return Ok(());
            }
            "type" if matches!(value, "cert" | "private") => return Ok(()),
            _ => return Err(refused(name)),
        };
        if place.replace(text()?).is_some() {
            return Err(invalid(&format!("`{name}` is in it twice")));
        }
        Ok(())
    }
}

fn invalid(why: &str) -> Error {
    Error::invalid("PKCS#11 URI", why)
}

fn refused(name: &str) -> Error {
    invalid(&format!(
        "`{name}` is not used; what is: token, serial, model, manufacturer, object, id, type=cert"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_print_is_read() {
        let text = "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=0c4f;token=ana;id=%01%fe;object=a%3bb;type=cert";
        let uri: Pkcs11Uri = text.parse().unwrap();
        assert_eq!(uri.to_string(), text);
        assert_eq!(uri.token.label.as_deref(), Some("ana"));
        assert_eq!(uri.token.model.as_deref(), Some("SoftHSM v2"));
        assert_eq!(uri.object.label.as_deref(), Some("a;b"));
        assert_eq!(uri.object.id.as_deref(), Some(&[1, 0xfe][..]));
    }

    #[test]
    fn rule_24e_an_address_names_no_library_and_no_pin() {
        for text in [
            "pkcs11:token=ana?module-path=/tmp/evil.so",
            "pkcs11:token=ana?pin-source=file:/tmp/pin",
            "pkcs11:token=ana;pin-value=1234",
            "pkcs11:token=ana;module-path=/tmp/evil.so",
            "pkcs11:token=ana;slot-id=3",
            "pkcs11:token=ana;token=otto",
            "pkcs11:token=%00",
            "pkcs11:object=ana",
            "pkcs11:token",
            "pkcs11:",
            "PKCS11:token=ana",
            // It is shown on terminals.
            "pkcs11:token=ana;id=\u{1b}[2J",
            "pkcs11:token=ana;id=\u{202e}",
        ] {
            assert!(text.parse::<Pkcs11Uri>().is_err(), "{text}");
        }
    }
}
