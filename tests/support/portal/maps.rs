//! A map service with one layer and an image service, of which a server and the portal itself send
//! pictures.

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use serde_json::{json, Value};

use super::http::{Request, Response};
use super::oauth::portal_error;

/// The service's path behind `rest/services/`.
pub const SERVICE: &str = "Land/MapServer";

/// The path of the image service behind `rest/services/`.
pub const IMAGES: &str = "Hills/ImageServer";

/// The color of every picture: red, green, blue.
pub const COLOR: [u8; 3] = [0x20, 0x80, 0x40];

/// A picture is not larger than this, in pixels.
const LARGEST: u32 = 4096;

/// The answer for a path behind `rest/services/` that begins with [`SERVICE`] or [`IMAGES`].
pub fn answer(request: &Request, path: &str) -> Response {
    if let Some(rest) = path.strip_prefix(IMAGES) {
        return match rest {
            "" => Response::json(&image_service()),
            "/exportImage" => export(request),
            "/legend" => Response::json(&legend()),
            _ => portal_error(400, "Invalid URL"),
        };
    }
    match path.strip_prefix(SERVICE).unwrap_or_default() {
        "" => Response::json(&service()),
        "/0" => Response::json(&layer()),
        "/export" => export(request),
        "/legend" => Response::json(&legend()),
        _ => portal_error(400, "Invalid URL"),
    }
}

/// The picture of `size=WIDTH,HEIGHT`.
fn export(request: &Request) -> Response {
    let size = request.param("size").and_then(|text| text.split_once(','));
    let parsed = size.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    match parsed {
        Some((width, height)) if width <= LARGEST && height <= LARGEST => {
            Response::new(200, "image/png", png(width, height))
        }
        _ => portal_error(400, "Invalid or missing input parameters."),
    }
}

/// A PNG file whose pixels all have the [`COLOR`].
fn png(width: u32, height: u32) -> Vec<u8> {
    // Each line begins with the number of its filter: none.
    let line = [&[0][..], &COLOR.repeat(width as usize)].concat();
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::fast());
    let written = pixels.write_all(&line.repeat(height as usize));
    let pixels = written.and_then(|()| pixels.finish()).expect("memory");
    let depth_and_kind = [8, 2, 0, 0, 0];
    let header = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &depth_and_kind,
    ]
    .concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", Vec::new())] {
        let length = u32::try_from(data.len()).expect("a small picture");
        let content = [&name[..], &data].concat();
        let mut sum = Crc::new();
        sum.update(&content);
        file.extend(length.to_be_bytes());
        file.extend(&content);
        file.extend(sum.sum().to_be_bytes());
    }
    file
}

fn extent() -> Value {
    json!({"xmin": 0, "ymin": 40, "xmax": 20, "ymax": 60, "spatialReference": {"wkid": 4326, "latestWkid": 4326}})
}

fn service() -> Value {
    json!({
        "currentVersion": 11.4,
        "mapName": "Land",
        "capabilities": "Map,Query,Data",
        "supportsDynamicLayers": false,
        "singleFusedMapCache": false,
        "supportedImageFormatTypes": "PNG32,PNG24,PNG,JPG",
        "spatialReference": {"wkid": 4326, "latestWkid": 4326},
        "initialExtent": extent(),
        "fullExtent": extent(),
        "maxImageWidth": 4096,
        "maxImageHeight": 4096,
        "layers": [{"id": 0, "name": "Land", "parentLayerId": -1, "defaultVisibility": true, "subLayerIds": null}],
        "tables": [],
    })
}

fn image_service() -> Value {
    json!({
        "currentVersion": 11.4,
        "name": "Hills",
        "serviceDataType": "esriImageServiceDataTypeRGB",
        "capabilities": "Image,Metadata",
        "spatialReference": {"wkid": 4326, "latestWkid": 4326},
        "extent": extent(),
        "initialExtent": extent(),
        "fullExtent": extent(),
        "pixelSizeX": 0.01,
        "pixelSizeY": 0.01,
        "pixelType": "U8",
        "bandCount": 3,
        "maxImageWidth": 4096,
        "maxImageHeight": 4096,
    })
}

fn layer() -> Value {
    json!({
        "currentVersion": 11.4,
        "id": 0,
        "name": "Land",
        "type": "Feature Layer",
        "geometryType": "esriGeometryPolygon",
        "capabilities": "Map,Query,Data",
        "extent": extent(),
        "fields": [],
    })
}

fn legend() -> Value {
    json!({"layers": [{
        "layerId": 0,
        "layerName": "Land",
        "layerType": "Feature Layer",
        "legend": [{"label": "Land", "url": "land", "imageData": "", "contentType": "image/png", "height": 1, "width": 1}],
    }]})
}
