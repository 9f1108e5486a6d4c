//! The resources that a token opens: the portal itself, its users, its servers.

use std::time::Duration;

use serde_json::{json, Value};

use super::{keys, text, USER};
use crate::support::portal::{
    service_secret, ForeignServer, Portal, PortalVersion, APP_ID, OTHER_USER, SERVICE_ID,
};

fn get(portal: &Portal, path: &str, token: Option<&str>) -> Value {
    get_url(portal, &portal.rest(path), token)
}

fn get_url(portal: &Portal, url: &str, token: Option<&str>) -> Value {
    let bearer = format!("Bearer {}", token.unwrap_or_default());
    let headers = [("X-Esri-Authorization", bearer.as_str())];
    let headers = if token.is_some() { &headers[..] } else { &[] };
    portal.client().get_with(url, headers).unwrap().json()
}

fn user_token(portal: &Portal) -> String {
    text(&portal.seed_user(USER), "access_token")
}

fn app_token(portal: &Portal) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", SERVICE_ID),
        ("client_secret", service_secret()),
        ("f", "json"),
    ];
    let reply = portal
        .client()
        .post(&portal.rest("oauth2/token"), &form)
        .unwrap();
    text(&reply.json(), "access_token")
}

fn code_of(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_default()
}

#[test]
fn each_version_reports_itself_in_its_own_way() {
    let keys_of = |manner| {
        let portal = Portal::start(manner);
        let body = get(&portal, "?f=json", None);
        keys(&body).join(" ")
    };
    assert_eq!(keys_of(PortalVersion::Online), "currentVersion");
    assert_eq!(keys_of(PortalVersion::Enterprise106), "currentVersion");
    assert_eq!(keys_of(PortalVersion::Enterprise1091), "currentVersion");
    assert_eq!(
        keys_of(PortalVersion::Enterprise114),
        "currentVersion enterpriseBuild enterpriseVersion"
    );
}

#[test]
fn online_lives_at_the_web_root_and_enterprise_under_its_context() {
    let online = Portal::start(PortalVersion::Online);
    assert_eq!(online.url(), format!("https://localhost:{}", online.port()));
    let deep = Portal::builder().context("/a/b/portal/").start();
    assert_eq!(
        deep.url(),
        format!("https://localhost:{}/a/b/portal", deep.port())
    );
    assert_eq!(
        get(&deep, "info?f=json", None)["owningSystemUrl"],
        deep.url()
    );
    let outside = format!(
        "https://localhost:{}/portal/sharing/rest?f=json",
        deep.port()
    );
    assert_eq!(deep.client().get(&outside).unwrap().status, 404);
}

#[test]
fn portals_self_shows_the_user_the_app_or_neither() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let anonymous = get(&portal, "portals/self?f=json", None);
    assert!(anonymous.get("user").is_none() && anonymous.get("appInfo").is_none());
    let user = get(&portal, "portals/self?f=json", Some(&user_token(&portal)));
    assert_eq!(user["user"]["username"], USER);
    assert_eq!(user["appInfo"]["appId"], APP_ID);
    let app = get(&portal, "portals/self?f=json", Some(&app_token(&portal)));
    assert!(app.get("user").is_none());
    assert_eq!(app["appInfo"]["appId"], SERVICE_ID);
    assert_eq!(app["appInfo"]["appOwner"], USER);
    portal.set(|rules| rules.private = true);
    assert_eq!(code_of(&get(&portal, "portals/self?f=json", None)), 499);
}

#[test]
fn an_api_key_is_a_token_of_an_application_of_its_owner_until_it_ends() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let key = portal.make_api_key(OTHER_USER, 2);
    let seen = get(&portal, "portals/self?f=json", Some(&key));
    assert_eq!(seen["appInfo"]["appOwner"], OTHER_USER);
    assert_eq!(seen["user"], Value::Null);
    assert_eq!(
        code_of(&get(&portal, "community/self?f=json", Some(&key))),
        400
    );
    let other = portal.make_api_key(USER, 1);
    let seen = get(&portal, "portals/self?f=json", Some(&other));
    assert_eq!(seen["appInfo"]["appOwner"], USER);
    portal.revoke_api_key(&other);
    let seen = get(&portal, "portals/self?f=json", Some(&other));
    assert_eq!(code_of(&seen), 498);
    portal.clock().advance(Duration::from_secs(2 * 24 * 3600));
    let seen = get(&portal, "portals/self?f=json", Some(&key));
    assert_eq!(code_of(&seen), 498);
}

#[test]
fn portals_self_shows_the_token_limit_to_signed_in_users() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.max_token_minutes = Some(15));
    let token = user_token(&portal);
    assert_eq!(
        get(&portal, "portals/self?f=json", None)["maxTokenExpirationMinutes"],
        -1
    );
    assert_eq!(
        get(&portal, "portals/self?f=json", Some(&token))["maxTokenExpirationMinutes"],
        15
    );
}

#[test]
fn a_portal_can_name_another_host_as_its_own() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| rules.names_host = Some("elsewhere.example.org".to_owned()));
    let about = get(&portal, "portals/self?f=json", None);
    assert_eq!(about["portalHostname"], "elsewhere.example.org/portal");
    let info = get(&portal, "info?f=json", None);
    assert_eq!(
        info["owningSystemUrl"],
        "https://elsewhere.example.org/portal"
    );
}

#[test]
fn a_missing_an_invalid_and_an_insufficient_token_have_their_own_errors() {
    let portal = Portal::start(PortalVersion::Enterprise106);
    let required = json!({"error": {
        "code": 499, "message": "Token Required", "messageCode": "GWM_0003", "details": ["Token Required"],
    }});
    assert_eq!(get(&portal, "community/self?f=json", None), required);
    let invalid = json!({"error": {"code": 498, "message": "Invalid Token.", "details": []}});
    assert_eq!(
        get(&portal, "community/self?f=json", Some("rubbish")),
        invalid
    );
    let token = user_token(&portal);
    assert_eq!(
        get(&portal, "community/self?f=json", Some(&token))["username"],
        USER
    );
    portal.clock().advance(Duration::from_secs(1800));
    assert_eq!(get(&portal, "community/self?f=json", Some(&token)), invalid);
    let other = text(&portal.seed_user(OTHER_USER), "access_token");
    let denied = get(
        &portal,
        &format!("oauth2/apps/{APP_ID}?f=json"),
        Some(&other),
    );
    assert_eq!(denied["error"]["code"], 403);
    let newer = Portal::start(PortalVersion::Enterprise114);
    let details = get(&newer, "community/self?f=json", Some("rubbish"))["error"]["details"].clone();
    assert_eq!(details.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_token_is_read_from_header_form_or_query() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let token = user_token(&portal);
    let url = portal.rest("community/self?f=json");
    let client = portal.client();
    let bearer = format!("Bearer {token}");
    let standard = client
        .get_with(&url, &[("Authorization", &bearer)])
        .unwrap();
    let form = client.post(&url, &[("token", &token)]).unwrap();
    assert_eq!(portal.violations(), [""; 0]);
    let query = client.get(&format!("{url}&token={token}")).unwrap();
    for reply in [standard, form, query] {
        assert_eq!(reply.json()["username"], USER);
    }
    assert_eq!(portal.violations().len(), 1);
}

#[test]
fn an_app_can_bind_its_tokens_to_referrers() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.set(|rules| {
        rules.app_mut(APP_ID).http_referrers =
            ["https://*.example.org", "https://exact.example.com"]
                .map(str::to_owned)
                .to_vec();
    });
    let bearer = format!("Bearer {}", user_token(&portal));
    let status = |referer: &str| {
        let headers = [
            ("X-Esri-Authorization", bearer.as_str()),
            ("Referer", referer),
        ];
        let url = portal.rest("community/self?f=json");
        code_of(&portal.client().get_with(&url, &headers).unwrap().json())
    };
    assert_eq!(status("https://maps.example.org/page"), 0);
    assert_eq!(status("https://exact.example.com/"), 0);
    assert_eq!(status("https://example.net/"), 498);
    assert_eq!(status("https://exact.example.com.example.net/"), 498);
    assert_eq!(status(""), 498);
}

#[test]
fn without_f_json_html_pages_are_returned() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    for path in ["", "info", "portals/self"] {
        let reply = portal.client().get(&portal.rest(path)).unwrap();
        assert!(
            reply
                .header("content-type")
                .unwrap()
                .starts_with("text/html"),
            "{path}"
        );
    }
    let home = portal
        .client()
        .get(&format!("{}/home/index.html", portal.url()))
        .unwrap();
    assert_eq!((home.status, home.title().as_deref()), (200, Some("Home")));
    let pretty = get(&portal, "?f=pjson", None);
    assert_eq!(pretty["currentVersion"], "2024.2");
}

#[test]
fn users_are_found_whatever_their_names_contain() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let name = "a+b@x.org_key";
    portal.set(|rules| rules.users[0].username = name.to_owned());
    let token = text(&portal.seed_user(name), "access_token");
    let found = get(
        &portal,
        "community/users/a%2Bb%40x.org_key?f=json",
        Some(&token),
    );
    assert_eq!(
        (&found["username"], &found["role"]),
        (&json!(name), &json!("org_publisher"))
    );
    assert_eq!(
        code_of(&get(&portal, "community/users/nobody?f=json", Some(&token))),
        400
    );
}

#[test]
fn a_search_shows_more_to_signed_in_users() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let total = |token: Option<&str>| get(&portal, "search?q=map&f=json", token)["total"].clone();
    assert_eq!(total(None), 1);
    assert_eq!(total(Some(&user_token(&portal))), 2);
}

#[test]
fn a_search_finds_what_its_query_means_among_what_the_caller_sees() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.publish_services();
    let token = user_token(&portal);
    let found = |query: &str, token: Option<&str>| -> Vec<String> {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = get(&portal, &format!("search?q={encoded}&f=json"), token);
        let all = answer["results"].as_array();
        let ids = all.map(|all| all.iter().map(|one| text(one, "id")));
        ids.map(Iterator::collect).unwrap_or_default()
    };
    assert_eq!(found("roads", None), ["0a04"]);
    assert_eq!(found("roads", Some(&token)), ["0a01", "0a03", "0a04"]);
    let services = "(road*) AND (type:\"Feature Service\" OR type:\"Map Service\")";
    assert_eq!(found(services, Some(&token)), ["0a01", "0a03"]);
    let own = format!("owner:\"{USER}\" AND NOT type:\"Web Map\"");
    assert_eq!(found(&own, Some(&token)), ["0a01", "0a02", "0a06"]);
    let group = format!("group:{}", Portal::GROUP);
    assert_eq!(found(&group, Some(&token)), ["0a01", "0a02"]);
    assert_eq!(found("orgid:0123456789ABCDEF land", Some(&token)), ["0a02"]);
    assert!(found("orgid:another", Some(&token)).is_empty());
    assert_eq!(found("\"roads\"", None), ["0a04"]);
    for nothing in ["\"road*\"", "\"owner:ana\"", "\"roads\" AND \"OR\""] {
        assert!(found(nothing, Some(&token)).is_empty(), "{nothing}");
    }
    for wrong in ["(roads", "\"roads", "roads)", "AND", ""] {
        let encoded: String = url::form_urlencoded::byte_serialize(wrong.as_bytes()).collect();
        let answer = get(&portal, &format!("search?q={encoded}&f=json"), Some(&token));
        assert_eq!(code_of(&answer), 400, "{wrong}");
    }
    let page = get(&portal, "search?q=roads&num=2&f=json", Some(&token));
    assert_eq!((&page["nextStart"], &page["total"]), (&json!(3), &json!(3)));
    let last = get(&portal, "search?q=roads&num=2&start=3&f=json", Some(&token));
    assert_eq!(
        (&last["nextStart"], &last["results"][0]["id"]),
        (&json!(-1), &json!("0a04"))
    );
}

#[test]
fn groups_and_items_are_for_those_who_see_them() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.publish_services();
    let own = user_token(&portal);
    let others = text(&portal.seed_user(OTHER_USER), "access_token");
    let user = get(&portal, "community/self?f=json", Some(&own));
    assert_eq!(user["groups"][0]["id"], Portal::GROUP);
    let other = get(&portal, "community/self?f=json", Some(&others));
    assert_eq!(other["groups"], json!([]));
    for path in ["community", "content"].map(|one| format!("{one}/groups/{}?f=json", Portal::GROUP))
    {
        assert_eq!(code_of(&get(&portal, &path, None)), 499, "{path}");
        assert_eq!(code_of(&get(&portal, &path, Some("wrong"))), 498, "{path}");
        assert_eq!(code_of(&get(&portal, &path, Some(&others))), 400, "{path}");
        assert_eq!(code_of(&get(&portal, &path, Some(&own))), 0, "{path}");
    }
    let path = format!("content/groups/{}?num=1&start=2&f=json", Portal::GROUP);
    let page = get(&portal, &path, Some(&own));
    assert_eq!(
        (&page["items"][0]["title"], &page["total"]),
        (&json!("Land"), &json!(2))
    );
    for (id, anonymous, of_owner, of_other) in [
        ("0a01", 499, 0, 0),
        ("0a04", 0, 0, 0),
        ("0a05", 499, 400, 0),
        ("none", 499, 400, 400),
    ] {
        let path = format!("content/items/{id}?f=json");
        assert_eq!(code_of(&get(&portal, &path, None)), anonymous, "{id}");
        assert_eq!(code_of(&get(&portal, &path, Some(&own))), of_owner, "{id}");
        assert_eq!(
            code_of(&get(&portal, &path, Some(&others))),
            of_other,
            "{id}"
        );
    }
}

#[test]
fn features_are_edited_by_post_with_a_token_where_the_layer_allows_it() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let token = user_token(&portal);
    let layer = portal.server_layer_url();
    let edit = |operation: &str, form: &[(&str, &str)], token: Option<&str>| {
        let bearer = format!("Bearer {}", token.unwrap_or_default());
        let headers = [("X-Esri-Authorization", bearer.as_str())];
        let headers = if token.is_some() { &headers[..] } else { &[] };
        let url = format!("{layer}/{operation}");
        portal
            .client()
            .post_with(&url, form, headers)
            .unwrap()
            .json()
    };
    let oak = r#"[{"attributes": {"NAME": "Oak Street"}, "geometry": {"x": 9, "y": 50}}]"#;
    let adds = [("features", oak), ("f", "json")];
    assert_eq!(code_of(&edit("addFeatures", &adds, Some(&token))), 400);
    portal.set(|rules| rules.roads.editable = true);
    assert_eq!(code_of(&edit("addFeatures", &adds, None)), 499);
    assert_eq!(code_of(&edit("addFeatures", &adds, Some("wrong"))), 498);
    let by_get = get_url(
        &portal,
        &format!("{layer}/addFeatures?f=json"),
        Some(&token),
    );
    assert_eq!(code_of(&by_get), 405);
    let added = edit("addFeatures", &adds, Some(&token));
    assert_eq!(
        added["addResults"],
        json!([{"objectId": 8, "success": true}])
    );
    let birch = r#"[{"attributes": {"OBJECTID": 8, "NAME": "Birch Lane"}}]"#;
    let edits = [("updates", birch), ("deletes", "1,99"), ("f", "json")];
    let edited = edit("applyEdits", &edits, Some(&token));
    assert_eq!(edited["updateResults"][0]["success"], true);
    let deleted = edited["deleteResults"].as_array().unwrap();
    assert_eq!(
        (&deleted[0]["objectId"], &deleted[1]["success"]),
        (&json!(1), &json!(false))
    );
    let names = portal.set(|rules| rules.roads.names());
    assert_eq!(names.len(), 7);
    assert_eq!(
        (names[0].as_str(), names[6].as_str()),
        ("Birch Street", "Birch Lane")
    );
}

#[test]
fn a_server_token_is_granted_for_federated_servers_only() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.clock().stop();
    portal.set(|rules| rules.direct_federated = false);
    let token = user_token(&portal);
    let service = format!(
        "{}/rest/services/Roads/MapServer",
        portal.other_server_url()
    );
    assert_eq!(code_of(&get_url(&portal, &service, Some(&token))), 498);
    let generate = |name: &str, url: &str| {
        let form = [
            ("token", token.as_str()),
            (name, url),
            ("expiration", "30"),
            ("f", "json"),
        ];
        portal
            .client()
            .post(&portal.rest("generateToken"), &form)
            .unwrap()
            .json()
    };
    let granted = generate("serverUrl", &service);
    assert_eq!(granted["expires"], portal.clock().now_ms() + 30 * 60_000);
    let served = get_url(&portal, &service, Some(&text(&granted, "token")));
    assert_eq!(served["grantedFor"], "server");
    assert_eq!(generate("serverURL", &portal.server_url())["ssl"], true);
    let refused = generate("serverUrl", &portal.standalone_url());
    let expected = json!({"error": {
        "code": 400, "message": "Unable to generate token",
        "details": ["Unable to generate token for this server"],
    }});
    assert_eq!(refused, expected);
}

#[test]
fn a_federated_server_may_take_the_portals_own_token() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let token = user_token(&portal);
    let service = |name: &str| {
        format!(
            "{}/rest/services/{name}/MapServer?f=json",
            portal.server_url()
        )
    };
    assert_eq!(
        get_url(&portal, &service("Roads"), Some(&token))["grantedFor"],
        "user"
    );
    assert_eq!(
        code_of(&get_url(
            &portal,
            &service("Restricted/Roads"),
            Some(&token)
        )),
        403
    );
    assert_eq!(code_of(&get_url(&portal, &service("Roads"), None)), 499);
    assert_eq!(
        code_of(&get_url(&portal, &service("Public/Roads"), None)),
        0
    );
    let info = get_url(
        &portal,
        &format!("{}/rest/info?f=json", portal.server_url()),
        None,
    );
    assert_eq!(info["owningSystemUrl"], portal.url());
}

#[test]
fn a_token_at_an_unfederated_server_is_a_violation() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    portal.expect_violations();
    let alone = portal.standalone_url();
    let info = get_url(&portal, &format!("{alone}/rest/info?f=json"), None);
    assert!(info.get("owningSystemUrl").is_none());
    let token = user_token(&portal);
    get_url(
        &portal,
        &format!("{alone}/rest/services/Roads?f=json"),
        Some(&token),
    );
    let expected = ["rule 24: an access token was sent to a server that is not federated"];
    assert_eq!(portal.violations(), expected);
}

#[test]
fn a_foreign_server_counts_connections() {
    let portal = Portal::start(PortalVersion::Enterprise114);
    let foreign = ForeignServer::claiming(&portal);
    foreign.assert_no_connection();
    let info = get_url(
        &portal,
        &format!("{}/rest/info?f=json", foreign.url()),
        None,
    );
    assert_eq!(info["owningSystemUrl"], portal.url());
    assert_eq!((foreign.connections(), foreign.requests().len()), (1, 1));
}
