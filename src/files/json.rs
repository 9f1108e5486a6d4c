//! JSON files that hold one object.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Parses the content of the file at `path`, which must be one JSON object. The path is for the error.
pub(crate) fn parse_object(bytes: &[u8], path: &Path) -> Result<Map<String, Value>> {
    let corrupt = |why: String| Error::Corrupt {
        path: path.to_owned(),
        why,
    };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(corrupt("it is JSON, but not an object".into())),
        Err(why) => Err(corrupt(format!("it is not JSON ({why})"))),
    }
}
