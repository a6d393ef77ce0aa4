use super::*;

#[test]
fn each_placeholder_has_a_value() {
    let sql = Sql::new(&Namespace::default(), "t".to_owned(), "i".to_owned(), true);
    sql.statements.assert_bound('$');
    sql.unused.assert_bound('$');
}

#[test]
fn only_releases_and_announcements_are_committed_asynchronously() {
    let sql = Sql::new(&Namespace::default(), "t".to_owned(), "i".to_owned(), true);
    let (statements, instances) = (&sql.statements, &sql.statements.instances);
    let is_asynchronous = |sql: &SqlStr| sql.as_str().contains("synchronous_commit', 'off'");
    for statement in [
        &statements.release,
        &sql.release_many,
        &instances.announce,
        &instances.sweep,
        &instances.withdraw,
    ] {
        assert!(is_asynchronous(&statement.sql), "{}", statement.sql.as_str());
        // A server that refuses the setting gets a form without it.
        let fallback = statement.fallback.as_ref().unwrap();
        assert!(!is_asynchronous(&fallback.sql), "{}", fallback.sql.as_str());
    }
    for durable in [
        &statements.acquire.sql,
        &statements.acquire_free.sql,
        &statements.disable.sql,
        &statements.enable.sql,
        &sql.renew,
        &sql.remove,
    ] {
        assert!(!is_asynchronous(durable), "{}", durable.as_str());
    }
}
