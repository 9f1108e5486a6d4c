//! A feature layer of seven roads, which a server and the portal itself serve in pages of three.

use serde_json::{json, Value};

use super::http::{Request, Response};
use super::oauth::portal_error;

/// The service's path behind `rest/services/`.
pub const SERVICE: &str = "Roads/FeatureServer";

/// How many features one answer has at most.
const PAGE: usize = 3;

const ROADS: [(&str, u32); 7] = [
    ("Aspen Street", 1),
    ("Birch Street", 2),
    ("Cedar Street", 1),
    ("Dogwood Street", 3),
    ("Elm Street", 2),
    ("Fir Street", 1),
    ("Ginkgo Street", 3),
];

/// The answer for a path behind `rest/services/` that begins with [`SERVICE`].
pub fn answer(request: &Request, path: &str) -> Response {
    match path.strip_prefix(SERVICE).unwrap_or_default() {
        "" => Response::json(&service()),
        "/0" => Response::json(&layer()),
        "/0/query" => Response::json(&query(request)),
        _ => portal_error(400, "Invalid URL"),
    }
}

fn service() -> Value {
    json!({
        "currentVersion": 11.4,
        "serviceDescription": "Roads",
        "capabilities": "Query",
        "maxRecordCount": PAGE,
        "supportedQueryFormats": "JSON",
        "spatialReference": {"wkid": 4326, "latestWkid": 4326},
        "layers": [{"id": 0, "name": "Roads", "type": "Feature Layer", "geometryType": "esriGeometryPoint"}],
        "tables": [],
    })
}

fn layer() -> Value {
    json!({
        "currentVersion": 11.4,
        "id": 0,
        "name": "Roads",
        "type": "Feature Layer",
        "geometryType": "esriGeometryPoint",
        "objectIdField": "OBJECTID",
        "capabilities": "Query",
        "maxRecordCount": PAGE,
        "supportedQueryFormats": "JSON",
        "advancedQueryCapabilities": {"supportsPagination": true, "supportsOrderBy": true},
        "extent": {"xmin": 0, "ymin": 50, "xmax": 7, "ymax": 50, "spatialReference": {"wkid": 4326, "latestWkid": 4326}},
        "fields": fields(),
    })
}

fn fields() -> Value {
    json!([
        {"name": "OBJECTID", "alias": "OBJECTID", "type": "esriFieldTypeOID"},
        {"name": "NAME", "alias": "Name", "type": "esriFieldTypeString", "length": 50},
        {"name": "CLASS", "alias": "Class", "type": "esriFieldTypeInteger"},
    ])
}

fn query(request: &Request) -> Value {
    let yes = |name: &str| {
        let sent = request.param(name).unwrap_or_default();
        sent.eq_ignore_ascii_case("true")
    };
    let wanted = request.param("objectIds").unwrap_or_default();
    let roads: Vec<(u32, (&str, u32))> = (1..)
        .zip(ROADS)
        .filter(|(id, _)| wanted.is_empty() || wanted.split(',').any(|one| one == id.to_string()))
        .collect();
    if yes("returnCountOnly") {
        return json!({"count": roads.len()});
    }
    if yes("returnIdsOnly") {
        let ids: Vec<_> = roads.iter().map(|(id, _)| id).collect();
        return json!({"objectIdFieldName": "OBJECTID", "objectIds": ids});
    }
    let number = |name: &str, usual: usize| {
        let sent = request.param(name).and_then(|text| text.parse().ok());
        sent.unwrap_or(usual)
    };
    let (start, count) = (
        number("resultOffset", 0),
        number("resultRecordCount", usize::MAX),
    );
    // Esri's clients ask for 200 IDs at once, which real servers return in one answer.
    let limit = if wanted.is_empty() { PAGE } else { 200 };
    let page = roads.iter().skip(start).take(count.min(limit));
    let features: Vec<Value> = page.map(|(id, road)| feature(*id, *road)).collect();
    json!({
        "objectIdFieldName": "OBJECTID",
        "geometryType": "esriGeometryPoint",
        "spatialReference": {"wkid": 4326, "latestWkid": 4326},
        "fields": fields(),
        "exceededTransferLimit": start + features.len() < roads.len(),
        "features": features,
    })
}

fn feature(id: u32, (name, class): (&str, u32)) -> Value {
    json!({
        "attributes": {"OBJECTID": id, "NAME": name, "CLASS": class},
        "geometry": {"x": f64::from(id), "y": 50.0},
    })
}
