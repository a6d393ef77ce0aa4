//! This module has the statements of a store, and the values that are bound to them.

use std::sync::atomic::AtomicBool;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::shell::Page;

/// This is a statement and what is bound to it.
pub(crate) struct Statement {
    pub(crate) sql: SqlStr,
    /// These values are bound, in the order of the placeholders.
    pub(crate) parameters: &'static [Parameter],
    /// This statement runs if the server refuses what the first one does beside its work.
    pub(crate) fallback: Option<Fallback>,
}

/// This is the statement without what a server may refuse, such as a notification.
pub(crate) struct Fallback {
    pub(crate) sql: SqlStr,
    /// This is true once the current refusal was logged.
    pub(crate) warned: AtomicBool,
}

impl Statement {
    pub(crate) fn new(sql: String, parameters: &'static [Parameter]) -> Self {
        Self { sql: AssertSqlSafe(sql).into_sql_str(), parameters, fallback: None }
    }

    /// Adds the statement that runs if the server refuses this one.
    pub(crate) fn with_fallback(self, sql: String) -> Self {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Self { fallback: Some(Fallback { sql, warned: AtomicBool::new(false) }), ..self }
    }
}

/// Every dialect has these statements on one namespace's table of locks.
pub(crate) struct Statements {
    /// The table has this name in statements, quoted where necessary.
    pub(crate) table: String,
    /// Grants the name if it is free and enabled.
    pub(crate) acquire: Statement,
    /// Does the same for a name that has a row, and leaves open why it did nothing.
    pub(crate) acquire_free: Statement,
    /// Ends the lease if it is in force.
    pub(crate) release: Statement,
    /// Disables the name if it is enabled.
    pub(crate) disable: Statement,
    /// Enables the name if it is disabled.
    pub(crate) enable: Statement,
    /// Selects the row of the name.
    pub(crate) find: Statement,
    /// Selects the rows of the next names from the prefix on.
    pub(crate) list: Statement,
    pub(crate) instances: InstanceStatements,
}

/// These are the statements on one namespace's table of instances.
pub(crate) struct InstanceStatements {
    /// The table has this name in statements, quoted where necessary.
    pub(crate) table: String,
    /// Adds the instance or overwrites its row.
    pub(crate) announce: Statement,
    /// Removes the rows of instances that have expired.
    pub(crate) sweep: Statement,
    /// Removes the row of the instance.
    pub(crate) withdraw: Statement,
    /// Selects all rows.
    pub(crate) list: Statement,
}

/// Names a value that is bound to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    Name,
    Lease,
    Holder,
    Ttl,
    /// This is the kind of a lock with a queue, as it is stored.
    Kind,
    /// This is the capacity of that kind.
    Capacity,
    /// This is the weight of an entry.
    Weight,
    /// This is 1 if an entry may wait, and otherwise 0.
    Wait,
    Reason,
    By,
    Prefix,
    After,
    /// This is the greater one of the prefix and the name after which the page begins.
    First,
    Limit,
    Age,
    Instance,
    Presence,
    /// This is a random number that differs each time the statement is sent.
    Attempt,
    /// The leases of this boot are marked with this, where they run by the machine's clock.
    Boot,
    /// This is the time since the boot in microseconds.
    Uptime,
    /// This is the time since 1970 in microseconds, by the machine's clock.
    Wall,
}

/// This is a value as it is bound. Dialects differ in the types that they bind text and bytes as.
pub(crate) enum Value<'a> {
    Text(Option<&'a str>),
    /// The value is the bytes of a name.
    Name(Option<&'a [u8]>),
    Integer(i64),
}

/// These are the values of one call. Those that its statement does not bind have their default.
#[derive(Clone, Copy, Default)]
pub(crate) struct Values<'a> {
    pub(crate) name: &'a str,
    pub(crate) lease: &'a str,
    pub(crate) holder: &'a str,
    /// This is the ttl in microseconds.
    pub(crate) ttl: i64,
    pub(crate) kind: &'a str,
    pub(crate) capacity: u32,
    pub(crate) weight: u32,
    pub(crate) wait: bool,
    pub(crate) reason: &'a str,
    pub(crate) by: Option<&'a str>,
    pub(crate) prefix: &'a str,
    /// The page begins after this name.
    pub(crate) after: Option<&'a [u8]>,
    pub(crate) limit: i64,
    /// This is the age in microseconds.
    pub(crate) age: i64,
    pub(crate) instance: &'a str,
    pub(crate) presence: &'a str,
    pub(crate) boot: &'a str,
    /// This is the time since the boot in microseconds.
    pub(crate) uptime: i64,
    /// This is the time since 1970 in microseconds.
    pub(crate) wall: i64,
}

impl<'a> Values<'a> {
    /// Returns the values that select the next names.
    pub(crate) fn of_page(page: &Page<'a>) -> Self {
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
        Self { prefix: page.prefix, after: page.after, limit, ..Self::default() }
    }

    /// Returns the values of a statement in the order in which they are bound, for one sending.
    pub(crate) fn of(&self, statement: &Statement) -> impl Iterator<Item = Value<'a>> {
        let (values, attempt) = (*self, fastrand::i64(..));
        statement.parameters.iter().map(move |parameter| values.get(*parameter, attempt))
    }

    fn get(&self, parameter: Parameter, attempt: i64) -> Value<'a> {
        match parameter {
            Parameter::Name => Value::Text(Some(self.name)),
            Parameter::Lease => Value::Text(Some(self.lease)),
            Parameter::Holder => Value::Text(Some(self.holder)),
            Parameter::Ttl => Value::Integer(self.ttl),
            Parameter::Kind => Value::Text(Some(self.kind)),
            Parameter::Capacity => Value::Integer(self.capacity.into()),
            Parameter::Weight => Value::Integer(self.weight.into()),
            Parameter::Wait => Value::Integer(self.wait.into()),
            Parameter::Reason => Value::Text(Some(self.reason)),
            Parameter::By => Value::Text(self.by),
            Parameter::Prefix => Value::Text(Some(self.prefix)),
            Parameter::After => Value::Name(self.after),
            Parameter::First => {
                Value::Name(Some(self.prefix.as_bytes().max(self.after.unwrap_or_default())))
            }
            Parameter::Limit => Value::Integer(self.limit),
            Parameter::Age => Value::Integer(self.age),
            Parameter::Instance => Value::Text(Some(self.instance)),
            Parameter::Presence => Value::Text(Some(self.presence)),
            Parameter::Attempt => Value::Integer(attempt),
            Parameter::Boot => Value::Text(Some(self.boot)),
            Parameter::Uptime => Value::Integer(self.uptime),
            Parameter::Wall => Value::Integer(self.wall),
        }
    }
}

#[cfg(test)]
impl Statements {
    /// Asserts that each statement has a value for each placeholder, which begins with that sign. A
    /// driver may bind NULL for a missing one.
    pub(crate) fn assert_bound(&self, sign: char) {
        let instances = &self.instances;
        for statement in [
            &self.acquire,
            &self.acquire_free,
            &self.release,
            &self.disable,
            &self.enable,
            &self.find,
            &self.list,
            &instances.announce,
            &instances.sweep,
            &instances.withdraw,
            &instances.list,
        ] {
            statement.assert_bound(sign);
        }
    }
}

#[cfg(test)]
impl Statement {
    /// Does the same as [`Statements::assert_bound`] for this statement.
    pub(crate) fn assert_bound(&self, sign: char) {
        let texts = [Some(&self.sql), self.fallback.as_ref().map(|fallback| &fallback.sql)];
        for sql in texts.into_iter().flatten().map(SqlStr::as_str) {
            assert_eq!(placeholders(sql, sign), self.parameters.len(), "{sql}");
        }
    }
}

/// Returns the highest number of a placeholder, or how many there are if they have no numbers.
#[cfg(test)]
fn placeholders(sql: &str, sign: char) -> usize {
    let after_each = || sql.split(sign).skip(1);
    let number = |text: &str| {
        let end = text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    after_each().filter_map(number).max().unwrap_or_else(|| after_each().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_in_the_order_of_the_placeholders() {
        use Parameter::{After, Attempt, First, Name, Ttl};
        let parameters = &[Ttl, Name, Attempt, After, First, Attempt];
        let statement = Statement::new(String::new(), parameters);
        let values =
            Values { name: "a", ttl: 7, prefix: "b", after: Some(b"bx"), ..Values::default() };
        let bound: Vec<_> = values.of(&statement).collect();
        let [
            Value::Integer(7),
            Value::Text(Some("a")),
            Value::Integer(attempt),
            Value::Name(Some(b"bx")),
            Value::Name(Some(b"bx")),
            Value::Integer(same),
        ] = bound[..]
        else {
            panic!("another order")
        };
        assert_eq!(attempt, same);
    }
}
