//! A document that was parsed: the operation that is meant, its variables, and its selections, each field once.

use std::collections::HashMap;
use std::convert::Infallible;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Pos, Positioned, Value, Variables};

use crate::http::Problem;
use crate::http::problem;
use crate::http::problem::shown;

/// A document with the operation that is meant and what its variables say.
pub(super) struct Document {
    parsed: ExecutableDocument,
    operation: OperationDefinition,
    variables: Variables,
}

/// Selections of one object, which may stand in several places.
pub(super) struct Selections<'d>(Vec<&'d SelectionSet>);

/// A field of a selection: all places that have it under the same name together.
pub(super) struct Selected<'d> {
    /// Its name in the answer.
    pub(super) key: &'d str,
    /// Its name.
    pub(super) name: &'d str,
    /// What is selected of its value.
    pub(super) within: Selections<'d>,
    /// Where it stands first.
    pub(super) pos: Pos,
    field: &'d Field,
}

impl Document {
    /// The document with the operation of that name, or its only one.
    pub(super) fn new(parsed: ExecutableDocument, name: Option<&str>, variables: Variables) -> Result<Self, Problem> {
        let operation = meant(&parsed, name)?.node.clone();
        let mut said = variables;
        for definition in &operation.variable_definitions {
            let name = &definition.node.name.node;
            let default = definition.node.default_value.as_ref().map(|value| value.node.clone());
            if !said.contains_key(name)
                && let Some(default) = default
            {
                said.insert(name.clone(), default);
            }
            if !definition.node.var_type.node.nullable && said.get(name).is_none_or(|value| *value == Value::Null) {
                let detail = format!("the variable ${name} is needed, of type {}", definition.node.var_type.node);
                return Err(Problem::new(problem::INVALID_LITERAL, detail).parameter(format!("variables.{name}")));
            }
        }
        Ok(Self { parsed, operation, variables: said })
    }

    /// What it does.
    pub(super) fn kind(&self) -> OperationType {
        self.operation.ty
    }

    /// For the library, which validates and introspects.
    pub(super) fn parsed(&self) -> &ExecutableDocument {
        &self.parsed
    }

    /// What variables say, with their defaults.
    pub(super) fn variables(&self) -> &Variables {
        &self.variables
    }

    /// The fields of the operation itself.
    pub(super) fn roots(&self) -> Result<Vec<Selected<'_>>, Problem> {
        let kind = if self.operation.ty == OperationType::Subscription { "Subscription" } else { "Query" };
        self.fields(kind, &Selections(vec![&self.operation.selection_set.node]))
    }

    /// The fields that selections on an object of a type make, in the order in which they come first.
    pub(super) fn fields<'d>(&'d self, kind: &str, of: &Selections<'d>) -> Result<Vec<Selected<'d>>, Problem> {
        let mut fields = Fields::default();
        for set in &of.0 {
            self.collect(kind, set, &mut fields)?;
        }
        Ok(fields.all)
    }

    fn collect<'d>(&'d self, kind: &str, set: &'d SelectionSet, fields: &mut Fields<'d>) -> Result<(), Problem> {
        for selection in &set.items {
            if !self.is_included(&selection.node)? {
                continue;
            }
            match &selection.node {
                Selection::Field(field) => fields.add(field),
                Selection::FragmentSpread(spread) => {
                    let fragment = self.parsed.fragments.get(&spread.node.fragment_name.node);
                    if let Some(fragment) = fragment
                        && fragment.node.type_condition.node.on.node == kind
                    {
                        self.collect(kind, &fragment.node.selection_set.node, fields)?;
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map(|condition| condition.node.on.node.as_str());
                    if on.is_none_or(|on| on == kind) {
                        self.collect(kind, &fragment.node.selection_set.node, fields)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn is_included(&self, selection: &Selection) -> Result<bool, Problem> {
        for directive in selection.directives() {
            let directive = &directive.node;
            let wanted = match directive.name.node.as_str() {
                "include" => true,
                "skip" => false,
                _ => continue,
            };
            let condition = directive.get_argument("if").map(|value| value.node.clone());
            let condition = condition.map(|value| settled(value.into_const_with(|name| self.said(&name))));
            let Some(Value::Boolean(condition)) = condition else {
                let detail = format!("@{} needs if, true or false", directive.name.node);
                return Err(Problem::new(problem::INVALID_LITERAL, detail));
            };
            if condition != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the arguments of a field say: what nothing was said of is not among them.
    pub(super) fn arguments(&self, selected: &Selected<'_>) -> HashMap<String, Value> {
        let arguments = selected.field.arguments.iter().map(|(name, value)| {
            let value = value.node.clone().into_const_with(|name| self.said(&name));
            (name.node.to_string(), settled(value))
        });
        arguments.filter(|(_, value)| !is_unsaid(value)).collect()
    }

    fn said(&self, name: &Name) -> Result<Value, Infallible> {
        // No document and no JSON makes this value.
        Ok(self.variables.get(name).cloned().unwrap_or_else(|| Value::Binary(bytes::Bytes::new())))
    }
}

/// Whether it stands for a variable that nothing was said of.
fn is_unsaid(value: &Value) -> bool {
    matches!(value, Value::Binary(_))
}

fn settled(value: Result<Value, Infallible>) -> Value {
    let Ok(mut value) = value;
    forget_unsaid(&mut value);
    value
}

/// Takes out what nothing was said of: a member of an object is not there, an item of a list is null.
fn forget_unsaid(value: &mut Value) {
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| {
            if is_unsaid(item) {
                *item = Value::Null;
            }
            forget_unsaid(item);
        }),
        Value::Object(members) => {
            members.retain(|_, value| !is_unsaid(value));
            members.values_mut().for_each(forget_unsaid);
        }
        _ => {}
    }
}

/// Fields in the order in which they come first.
#[derive(Default)]
struct Fields<'d> {
    all: Vec<Selected<'d>>,
    places: HashMap<&'d str, usize>,
}

impl<'d> Fields<'d> {
    fn add(&mut self, field: &'d Positioned<Field>) {
        let key = field.node.response_key().node.as_str();
        let set = &field.node.selection_set.node;
        match self.places.get(key) {
            // Validation has seen to it that they ask for the same.
            Some(place) => self.all[*place].within.0.push(set),
            None => {
                self.places.insert(key, self.all.len());
                self.all.push(Selected {
                    key,
                    name: field.node.name.node.as_str(),
                    within: Selections(vec![set]),
                    pos: field.pos,
                    field: &field.node,
                });
            }
        }
    }
}

fn meant<'p>(
    parsed: &'p ExecutableDocument,
    name: Option<&str>,
) -> Result<&'p Positioned<OperationDefinition>, Problem> {
    let wrong = |detail: String| Problem::new(problem::INVALID_DOCUMENT, detail).parameter("operationName");
    match (&parsed.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => {
            operations.get(name).ok_or_else(|| wrong(format!("there is no operation {}", shown(name))))
        }
        (DocumentOperations::Multiple(operations), None) => {
            let mut all = operations.values();
            match (all.next(), all.next()) {
                (Some(operation), None) => Ok(operation),
                _ => Err(wrong("the document has several operations: name one".into())),
            }
        }
        (DocumentOperations::Single(_), Some(name)) => Err(wrong(format!("there is no operation {}", shown(name)))),
    }
}
