//! Requests through a proxy.

use super::authority::*;
use super::*;
use crate::error::ProxyDemand;

/// A proxy that leads every way to `target`, or answers `refusal`.
fn proxy_to(target: u16, refusal: Option<&'static str>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            seen.lock()
                .unwrap()
                .push(read_request(&mut stream).unwrap());
            let mut near = stream.into_inner();
            if let Some(refusal) = refusal {
                near.write_all(refusal.as_bytes()).unwrap();
                continue;
            }
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", target)).unwrap();
            let (mut near2, mut far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut near2, &mut far2));
            std::thread::spawn(move || std::io::copy(&mut far, &mut near));
        }
    });
    Server { port, requests }
}

#[test]
fn the_portal_is_reached_through_a_proxy_that_sees_no_secret() {
    let authority = Authority::new();
    let server = Server::start(
        Some(authority.server(&names(&["portal.test"]))),
        vec![json(OK)],
    );
    let (_keep, tls) = ca(&authority.pem());
    let proxy = proxy_to(server.port, None);
    let context = Context {
        environment: Environment::of([(
            "HTTPS_PROXY",
            format!("http://me:p%40ss@127.0.0.1:{}", proxy.port),
        )]),
        ..Context::process()
    };
    get(&client_in(
        "https://portal.test",
        &tls,
        &Proxy::System,
        &context,
    ))
    .unwrap();
    let asked = proxy.requests().concat();
    assert!(asked.starts_with("CONNECT portal.test:443 HTTP/1.1\r\n"));
    assert!(asked.contains("Proxy-Authorization: Basic bWU6cEBzcw==\r\n"));
    assert!(!asked.contains(TOKEN));
}

#[test]
fn a_proxys_refusal_is_reported_without_its_password() {
    for (answer, expected) in [
        (
            "HTTP/1.1 407 Authentication\r\n\r\n",
            ProxyDemand::OtherPassword,
        ),
        (
            "HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\nproxy-authenticate: Basic realm=\"x\"\r\n\r\n",
            ProxyDemand::OtherPassword,
        ),
        (
            "HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
            ProxyDemand::UnknownScheme,
        ),
        (
            "HTTP/1.1 407 x\r\nProxy-Authenticate: Digest realm=\"Basic, Basic\"\r\n\r\n",
            ProxyDemand::UnknownScheme,
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", ProxyDemand::Nothing),
        ("nonsense\r\n\r\n", ProxyDemand::Nothing),
    ] {
        let proxy = proxy_to(1, Some(answer));
        let context = Context {
            environment: Environment::of([(
                "HTTPS_PROXY",
                format!("http://me:canary@127.0.0.1:{}", proxy.port),
            )]),
            ..Context::process()
        };
        let http = client_in(
            "https://portal.test",
            &Tls::System,
            &Proxy::System,
            &context,
        );
        let result = post_once(&http);
        assert!(!sent(&result));
        assert!(!format!("{result:?}").contains("canary"));
        match why(result) {
            Unreachable::Proxy {
                proxy: shown,
                demand,
                ..
            } => {
                assert_eq!(shown, format!("http://127.0.0.1:{}", proxy.port));
                assert_eq!(demand, expected, "{answer}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unreachable_proxy_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let proxy = Proxy::Url(url.clone());
    let http = client_in("https://portal.test", &Tls::System, &proxy, &quiet());
    match why(get(&http)) {
        Unreachable::Proxy {
            proxy,
            demand: ProxyDemand::Nothing,
            ..
        } => assert_eq!(proxy, url),
        other => panic!("{other:?}"),
    }
}
