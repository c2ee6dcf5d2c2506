//! The filter form that questions and access rules share: what is compared with what, with nothing looked up yet.

use super::Operator;

/// A condition over named fields. Nothing is known of the names and literals yet; a plan binds them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// Every one holds; the empty conjunction is true.
    All(Vec<Filter>),
    /// At least one holds; the empty disjunction is false.
    Any(Vec<Filter>),
    /// It does not hold. Unknown (a comparison with null) stays unknown, as in SQL.
    Not(Box<Filter>),
    /// One field against one operand.
    Compare(Comparison),
}

impl Default for Filter {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

/// One field against one operand, as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// The field's name.
    pub field: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub operand: Operand,
}

/// An operand as written: its type is the column's business.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operand {
    /// One literal.
    One(String),
    /// A list of literals, for `in` and `nin`.
    Many(Vec<String>),
    /// What the caller's claim of that name says. Only access rules have these: no question can be written with one.
    Claim(String),
}
