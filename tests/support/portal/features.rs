//! A feature layer of seven roads, which a server and the portal itself serve in pages of three,
//! and which can be edited where the rules say so.

use serde_json::{json, Map, Value};

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

/// The features of the layer, which the portal and the server share.
#[derive(Clone)]
pub struct Roads {
    /// Whether the layer can be edited.
    pub editable: bool,
    features: Vec<Feature>,
    next: u32,
}

#[derive(Clone)]
struct Feature {
    id: u32,
    attributes: Map<String, Value>,
    geometry: Value,
}

impl Default for Roads {
    fn default() -> Self {
        let mut made = Self {
            editable: false,
            features: Vec::new(),
            next: 1,
        };
        for (name, class) in ROADS {
            let x = f64::from(made.next);
            made.add(&json!({
                "attributes": {"NAME": name, "CLASS": class},
                "geometry": {"x": x, "y": 50.0},
            }));
        }
        made
    }
}

impl Roads {
    /// The names of the roads, in the order in which they were added.
    pub fn names(&self) -> Vec<String> {
        let name = |one: &Feature| one.attributes["NAME"].as_str().map(str::to_owned);
        self.features.iter().filter_map(name).collect()
    }

    fn add(&mut self, sent: &Value) -> Value {
        let Some(attributes) = sent["attributes"].as_object() else {
            return failed("attributes are missing");
        };
        let id = self.next;
        self.next += 1;
        let mut attributes = attributes.clone();
        attributes.insert("OBJECTID".to_owned(), json!(id));
        let geometry = sent["geometry"].clone();
        self.features.push(Feature {
            id,
            attributes,
            geometry,
        });
        done(id)
    }

    fn update(&mut self, sent: &Value) -> Value {
        let id = sent["attributes"]["OBJECTID"].as_u64();
        let mut all = self.features.iter_mut();
        let Some(found) = all.find(|one| id == Some(u64::from(one.id))) else {
            return failed("there is no feature with this ID");
        };
        for (name, value) in sent["attributes"].as_object().into_iter().flatten() {
            found.attributes.insert(name.clone(), value.clone());
        }
        if !sent["geometry"].is_null() {
            found.geometry = sent["geometry"].clone();
        }
        done(found.id)
    }

    fn delete(&mut self, id: &str) -> Value {
        let before = self.features.len();
        self.features.retain(|one| one.id.to_string() != id);
        match id.parse() {
            Ok(id) if self.features.len() < before => done(id),
            _ => failed("there is no feature with this ID"),
        }
    }
}

fn done(id: u32) -> Value {
    json!({"objectId": id, "success": true})
}

fn failed(why: &str) -> Value {
    json!({"success": false, "error": {"code": 1000, "description": why}})
}

/// The answer for a path behind `rest/services/` that begins with [`SERVICE`].
pub fn answer(roads: &mut Roads, request: &Request, path: &str) -> Response {
    match path.strip_prefix(SERVICE).unwrap_or_default() {
        "" => Response::json(&service(roads)),
        "/0" => Response::json(&layer(roads)),
        "/0/query" => Response::json(&query(roads, request)),
        "/0/addFeatures" => edit(roads, request, [Some("features"), None, None]),
        "/0/updateFeatures" => edit(roads, request, [None, Some("features"), None]),
        "/0/deleteFeatures" => edit(roads, request, [None, None, Some("objectIds")]),
        "/0/applyEdits" => edit(
            roads,
            request,
            [Some("adds"), Some("updates"), Some("deletes")],
        ),
        _ => portal_error(400, "Invalid URL"),
    }
}

/// Adds, updates and deletes what the parameters with these names say.
fn edit(roads: &mut Roads, request: &Request, parameters: [Option<&str>; 3]) -> Response {
    if !roads.editable {
        return portal_error(400, "This operation is not supported.");
    }
    if request.method != "POST" {
        return portal_error(405, "The HTTP method GET is not allowed.");
    }
    let [adds, updates, deletes] = parameters.map(|name| name.and_then(|name| request.param(name)));
    let list = |sent: Option<&str>| -> Vec<Value> {
        sent.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    };
    let mut answer = Map::new();
    let mut tell = |name: &str, results: Vec<Value>| {
        answer.insert(name.to_owned(), json!(results));
    };
    if adds.is_some() {
        tell(
            "addResults",
            list(adds).iter().map(|one| roads.add(one)).collect(),
        );
    }
    if updates.is_some() {
        tell(
            "updateResults",
            list(updates).iter().map(|one| roads.update(one)).collect(),
        );
    }
    if let Some(ids) = deletes {
        tell(
            "deleteResults",
            ids.split(',').map(|one| roads.delete(one.trim())).collect(),
        );
    }
    if answer.is_empty() {
        return portal_error(400, "Invalid or missing input parameters.");
    }
    Response::json(&Value::Object(answer))
}

fn capabilities(roads: &Roads) -> &'static str {
    if roads.editable {
        "Query,Create,Update,Delete,Editing"
    } else {
        "Query"
    }
}

fn service(roads: &Roads) -> Value {
    json!({
        "currentVersion": 11.4,
        "serviceDescription": "Roads",
        "capabilities": capabilities(roads),
        "maxRecordCount": PAGE,
        "supportedQueryFormats": "JSON",
        "spatialReference": {"wkid": 4326, "latestWkid": 4326},
        "layers": [{"id": 0, "name": "Roads", "type": "Feature Layer", "geometryType": "esriGeometryPoint"}],
        "tables": [],
    })
}

fn layer(roads: &Roads) -> Value {
    json!({
        "currentVersion": 11.4,
        "id": 0,
        "name": "Roads",
        "type": "Feature Layer",
        "geometryType": "esriGeometryPoint",
        "objectIdField": "OBJECTID",
        "capabilities": capabilities(roads),
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

fn query(roads: &Roads, request: &Request) -> Value {
    let yes = |name: &str| {
        let sent = request.param(name).unwrap_or_default();
        sent.eq_ignore_ascii_case("true")
    };
    let wanted = request.param("objectIds").unwrap_or_default();
    let all = roads.features.iter();
    let found: Vec<&Feature> = all
        .filter(|one| wanted.is_empty() || wanted.split(',').any(|id| id == one.id.to_string()))
        .collect();
    if yes("returnCountOnly") {
        return json!({"count": found.len()});
    }
    if yes("returnIdsOnly") {
        let ids: Vec<_> = found.iter().map(|one| one.id).collect();
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
    let page = found.iter().skip(start).take(count.min(limit));
    let features: Vec<Value> = page
        .map(|one| json!({"attributes": one.attributes, "geometry": one.geometry}))
        .collect();
    json!({
        "objectIdFieldName": "OBJECTID",
        "geometryType": "esriGeometryPoint",
        "spatialReference": {"wkid": 4326, "latestWkid": 4326},
        "fields": fields(),
        "exceededTransferLimit": start + features.len() < found.len(),
        "features": features,
    })
}
