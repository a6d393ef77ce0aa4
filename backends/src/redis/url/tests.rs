use std::error::Error as _;

use super::*;

#[test]
fn a_bad_url_is_refused_without_its_password() {
    for url in [
        "redis://",
        "redis:host",
        "redis://user:secret@",
        "redis://user:secret@host:port",
        "redis://user:se/cret@host",
        "redis://user:secret@one,two",
        "redis://user:secret@host/database",
        "redis://user:secret@host?wait_replicas=many",
        "redis://user:secret@host?wait_replica=1",
        "redis://user:secret@host?ca=/nowhere",
        "rediss://user:secret@host?ca=/nowhere",
        "rediss://user:secret@host?ca=Cargo.toml",
        "rediss://user:secret@host?cert=Cargo.toml",
        "rediss://user:secret@host/#insecure",
        "redis://user:?secret@host",
        "redis://user:secret@host?sentinel_password=secret",
        "redis+sentinel://one/main?sentinel_username=user",
        "redis+cluster://user:secret@one,two/1",
        "redis+sentinel://user:secret@one,two",
        "redis+sentinel://user:secret@one,,two/main",
        "redis+unix://user:secret@",
        "redis+unix://user:secret@host/run/redis.sock",
        "rediss+unix://user:secret@/run/redis.sock",
        "redis+unix:///run/redis.sock?pass=secret&db=many",
        "redis+unix:///run/redis.sock?pass=secret&ca=Cargo.toml",
        "redis://user:secret@host?db=1",
        "redis+unix://secret@/run/redis.sock",
        "redis+unix:///run/redis.sock?user=secret",
        "redis://secret@host",
        "redis+cluster://secret@one,two",
        "redis+sentinel://secret:@one,two/main",
    ] {
        let Err(error) = parse(url) else { panic!("{url} is accepted") };
        assert!(error.is_invalid(), "{url}: {error}");
        let mut message = error.to_string();
        if let Some(source) = error.source() {
            message += &source.to_string();
        }
        assert!(!message.contains("cret"), "{message}");
    }
}

#[test]
fn the_label_has_no_password() {
    for (url, label) in [
        ("redis://user:secret@host", "redis://host"),
        ("valkeys://:secret@host:1/2?protocol=resp3", "rediss://host:1/2"),
        ("redis+cluster://u:secret@a:1,b:2", "redis+cluster://a:1,b:2"),
        ("rediss+sentinel://u:secret@a,b:2/main/3", "rediss+sentinel://a,b:2/main/3"),
    ] {
        assert_eq!(parse(url).unwrap().label, label);
    }
    assert_eq!(parse("redis://h?wait_replicas=2").unwrap().wait_replicas, 2);
    let sentinels = "redis+sentinel://a/main?sentinel_username=u&sentinel_password=p%26+";
    let Topology::Server(ServerLocator::Sentinels(sentinels)) = parse(sentinels).unwrap().topology
    else {
        panic!("the URL names other servers")
    };
    let login = sentinels.sentinels[0].client.get_connection_info().redis_settings();
    assert_eq!((login.username(), login.password()), (Some("u"), Some("p&+")));
}

#[test]
fn an_unknown_option_is_named_with_the_nearest() {
    for (url, part) in [
        ("redis://h?wait_replica=1", "did you mean \"wait_replicas\"?"),
        ("rediss://h?insecure=1", "unknown URL option \"insecure\""),
        ("unix:///s?database=1", "the known options are wait_replicas, protocol, db"),
    ] {
        let error = parse(url).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_url_of_a_unix_socket_sets_login_and_database() {
    for url in [
        "unix:///run/my%20redis.sock?user=me&pass=se%26cret&db=3",
        "redis+unix://me:se%26cret@/run/my%20redis.sock?db=3&protocol=resp3",
    ] {
        let config = parse(url).unwrap();
        assert_eq!(config.label, "redis+unix:///run/my%20redis.sock");
        let Topology::Server(ServerLocator::Direct(client)) = config.topology else {
            panic!("the URL names other servers")
        };
        let info = client.get_connection_info();
        let addr = ConnectionAddr::Unix(PathBuf::from("/run/my redis.sock"));
        assert_eq!(*info.addr(), addr);
        let settings = info.redis_settings();
        assert_eq!(settings.username(), Some("me"));
        assert_eq!((settings.password(), settings.db()), (Some("se&cret"), 3));
    }
}

#[test]
fn requests_are_not_held_back() {
    let topology = parse("redis://host").unwrap().topology;
    let Topology::Server(ServerLocator::Direct(client)) = topology else {
        panic!("the URL names one server");
    };
    assert!(client.get_connection_info().tcp_settings().nodelay());
}
