//! A driver binds these values to the placeholders of a statement.

use super::statement::{Parameter, Statement};
use crate::term::Term;

/// The placeholders of a term's statements take these values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    pub(crate) name: &'a str,
    pub(crate) floor: i64,
    pub(crate) token: i64,
}

impl<'a> Values<'a> {
    /// A statement without placeholders gets these values, and uses none of them.
    pub(crate) const NONE: Self = Self { name: "", floor: 0, token: 0 };

    /// Returns the values of a term.
    pub(crate) fn of(term: &'a Term) -> Self {
        let (floor, token) = (term.floor().into(), term.token().into());
        Self { name: term.name().as_str(), floor, token }
    }
}

/// This value belongs to one placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Name(&'a str),
    Number(i64),
}

impl Statement {
    /// Returns the values of the placeholders, in their order.
    pub(crate) fn values<'a>(
        &self,
        values: Values<'a>,
    ) -> impl Iterator<Item = Value<'a>> + use<'a> {
        self.parameters().iter().map(move |parameter| match parameter {
            Parameter::Name => Value::Name(values.name),
            Parameter::Floor => Value::Number(values.floor),
            Parameter::Token => Value::Number(values.token),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::statement::Database;
    use super::*;

    const PARAMETERS: &[Parameter] = &[Parameter::Name, Parameter::Token];

    #[test]
    fn values_come_in_the_order_of_the_placeholders() {
        let statement = Statement::query(Database::MySql, "a = ? AND b = ?", PARAMETERS);
        let values = statement.values(Values { name: "x", floor: 1, token: 2 });
        assert_eq!(values.collect::<Vec<_>>(), [Value::Name("x"), Value::Number(2)]);
        assert_eq!(statement.pieces().collect::<Vec<_>>(), ["a = ", " AND b = ", ""]);
    }
}
