//! The outer structure of DER: what an element is, and where it ends.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// The field with number 0 in angle brackets of a definition in ASN.1.
pub(super) const FIELD_0: u8 = 0xa0;

/// One element: its tag, its content, and the whole of it.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// The first element and what follows it; `None` for what is not DER.
pub(super) fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // The long form: the number of bytes that hold the length.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len() - rest.len())?;
    Some((
        Element {
            tag,
            content,
            whole,
        },
        rest,
    ))
}

/// The content of the first element, if it has this tag, and what follows it.
pub(super) fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (element, rest) = first(bytes)?;
    (element.tag == tag).then_some((element.content, rest))
}

/// The elements, one after the other, up to the first bytes that are not DER.
pub(super) fn elements(mut bytes: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let (element, rest) = first(bytes)?;
        bytes = rest;
        Some(element)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn elements_end_where_their_length_says() {
        let (element, rest) = first(b"\x02\x01\x05\x04").unwrap();
        assert_eq!((element.tag, element.content), (INTEGER, &b"\x05"[..]));
        assert_eq!((element.whole, rest), (&b"\x02\x01\x05"[..], &b"\x04"[..]));
        let long = [b"\x30\x82\x01\x00".as_slice(), &[0; 256]].concat();
        assert_eq!(expect(&long, SEQUENCE).unwrap().0.len(), 256);
        for bad in [
            &b""[..],
            b"\x02",
            b"\x02\x02\x00",
            b"\x30\x80\x00\x00",
            b"\x30\x84\xff\xff\xff\xff",
        ] {
            assert!(first(bad).is_none(), "{bad:?}");
        }
        assert_eq!(elements(b"\x05\x00\x02\x01\x01\x02").count(), 2);
    }
}
