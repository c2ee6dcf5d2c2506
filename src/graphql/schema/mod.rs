//! The GraphQL schema of what a role may see: types for the library to validate and introspect by, and what its root
//! fields ask. What the role may not see is in neither.

mod groups;
mod rows;
mod scalars;

use std::collections::BTreeMap;

use async_graphql::dynamic::{
    Enum, EnumItem, Field, FieldFuture, InputObject, InputValue, Object, Schema, Subscription, SubscriptionField,
    SubscriptionFieldFuture, TypeRef,
};
use async_graphql::{Request, Response, SDLExportOptions, Value};
use futures_util::{StreamExt as _, stream};

use super::facts;
use crate::auth::Role;
use crate::catalog::{Catalog, Name, Relationship};
use crate::plan::View;
use crate::query::{Group, Measure};

/// The one thing to subscribe to.
pub(super) const PUBLISHED: &str = "dataset_published";

/// What a root field asks.
#[derive(Clone, Debug)]
pub(super) enum Root {
    /// Facts of every dataset.
    Datasets,
    /// Facts of one.
    Dataset,
    /// Rows or groups of a dataset.
    Of(Asks, Name),
}

/// What is asked of a dataset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    /// A page of rows.
    Rows,
    /// The row of a key.
    Key,
    /// A page of groups.
    Groups,
    /// A page of bars of a longer interval.
    Bars,
}

/// What the fields of a group ask for.
#[derive(Clone, Debug)]
pub(super) enum Grouped {
    /// A group, which `group_by` must name.
    By(Group),
    /// A measure.
    As(Measure),
}

/// A dataset in a shape.
pub(super) struct Known {
    /// What of it is seen.
    pub(super) view: View,
    /// What a field of a group asks for, by its name.
    pub(super) grouped: BTreeMap<String, Grouped>,
}

impl Known {
    /// The relation of that name.
    pub(super) fn relation(&self, name: &str) -> Option<&Relationship> {
        self.view.relations().find(|relation| relation.name.as_str() == name)
    }
}

/// What a role may see, as GraphQL.
pub(super) struct Shape {
    /// For validation and introspection.
    schema: Schema,
    roots: BTreeMap<String, Root>,
    known: BTreeMap<String, Known>,
}

/// The name of a type that a dataset brings: the contract's own, and a suffix that no name of a contract can have.
pub(super) fn type_of(dataset: &str, suffix: &str) -> String {
    format!("{dataset}{suffix}")
}

impl Shape {
    /// The shape of what a role may see. A catalog's names are GraphQL's, so that there always is one; where there is none
    /// all the same, why.
    pub(super) fn of(catalog: &Catalog, role: &Role) -> Result<Self, String> {
        let views = View::all(catalog, role);
        let mut types = Types::new();
        let mut known = BTreeMap::new();
        // What stands first keeps its name: a dataset's own before what other datasets bring along.
        for view in &views {
            let name = view.dataset().name.clone();
            rows::add(&mut types, view, &views);
            known.insert(name.to_string(), Known { view: view.clone(), grouped: BTreeMap::new() });
        }
        for view in &views {
            rows::add_key(&mut types, view);
            let grouped = groups::add(&mut types, view);
            if let Some(known) = known.get_mut(view.dataset().name.as_str()) {
                known.grouped = grouped;
            }
        }
        facts::add(&mut types);
        scalars::add(&mut types);
        let Types { roots, fields, registered } = types;
        let mut query = Object::new("Query").description("What you may ask.");
        for field in fields {
            query = query.field(field);
        }
        let published = SubscriptionField::new(PUBLISHED, type_ref("Publication!"), |_| {
            SubscriptionFieldFuture::new(async { Ok(stream::empty::<async_graphql::Result<Value>>()) })
        });
        let published = published
            .description("Each version as it is published, as server-sent events.")
            .argument(argument("datasets", "[String!]", "Of these datasets; of every one without it."));
        let subscription = Subscription::new("Subscription").description("What you may be told of.").field(published);
        let mut builder = Schema::build("Query", None, Some("Subscription")).register(query).register(subscription);
        for registered in registered {
            builder = match registered {
                Registered::Object(object) => builder.register(object),
                Registered::Input(input) => builder.register(input),
                Registered::Enum(one) => builder.register(one),
                Registered::Scalar(scalar) => builder.register(scalar),
            };
        }
        // A name that is near to one that is hidden must not be told, and none is: only visible ones are registered.
        let schema = builder.finish().map_err(|error| error.to_string())?;
        Ok(Self { schema, roots, known })
    }

    /// Validates a document, and answers what it asks of the schema itself; all else of its data is null. Of a
    /// subscription there is no data.
    pub(super) async fn validate(&self, request: Request) -> Response {
        // Nothing has a resolver that would be run, and no stream of the schema has anything in it.
        let mut answers = self.schema.execute_stream(request.only_introspection());
        answers.next().await.unwrap_or_default()
    }

    /// What the root field of that name asks.
    pub(super) fn root(&self, name: &str) -> Option<&Root> {
        self.roots.get(name)
    }

    /// Every dataset, in the order of names.
    pub(super) fn all(&self) -> impl Iterator<Item = &Known> {
        self.known.values()
    }

    /// The dataset of that name.
    pub(super) fn known(&self, dataset: &str) -> Option<&Known> {
        self.known.get(dataset)
    }

    /// The schema as a document.
    pub(super) fn sdl(&self) -> String {
        let options = SDLExportOptions::new().include_specified_by().prefer_single_line_descriptions();
        self.schema.sdl_with_options(options)
    }
}

/// The types of a schema that is being built.
pub(super) struct Types {
    roots: BTreeMap<String, Root>,
    fields: Vec<Field>,
    registered: Vec<Registered>,
}

enum Registered {
    Object(Object),
    Input(InputObject),
    Enum(Enum),
    Scalar(async_graphql::dynamic::Scalar),
}

impl Types {
    fn new() -> Self {
        Self { roots: BTreeMap::new(), fields: Vec::new(), registered: Vec::new() }
    }

    /// Adds a root field, unless its name is taken.
    pub(super) fn root(&mut self, name: String, asks: Root, field: Field) {
        if let std::collections::btree_map::Entry::Vacant(place) = self.roots.entry(name) {
            place.insert(asks);
            self.fields.push(field);
        }
    }

    pub(super) fn object(&mut self, object: Object) {
        self.registered.push(Registered::Object(object));
    }

    fn input(&mut self, input: InputObject) {
        self.registered.push(Registered::Input(input));
    }

    fn scalar(&mut self, scalar: async_graphql::dynamic::Scalar) {
        self.registered.push(Registered::Scalar(scalar));
    }

    /// Adds an enumeration of names.
    fn names<'n>(&mut self, name: &str, description: &str, items: impl IntoIterator<Item = &'n str>) {
        let items = items.into_iter().map(EnumItem::new);
        let all = items.fold(Enum::new(name).description(description), Enum::item);
        self.registered.push(Registered::Enum(all));
    }

    /// Adds the page of a type of rows.
    fn connection(&mut self, node: &str) {
        let edge = Object::new(type_of(node, "Edge"))
            .description("A row, and where it stands.")
            .field(
                field("cursor", "String!")
                    .description("Goes on behind this row as `after`, and before it as `before`."),
            )
            .field(field("node", &format!("{node}!")));
        let connection = Object::new(type_of(node, "Connection"))
            .description("A page of rows.")
            .field(field("edges", &format!("[{node}Edge!]!")).description("The rows, each with its cursor."))
            .field(field("nodes", &format!("[{node}!]!")).description("The rows."))
            .field(field("pageInfo", "PageInfo!").description("Where the page stands among others."))
            .field(
                field("totalCount", "BigInt")
                    .description("How many rows there are on all pages; null where they could not be counted in time."),
            );
        self.object(edge);
        self.object(connection);
    }
}

/// A field, whose value comes from elsewhere than a resolver.
pub(super) fn field(name: &str, data_type: &str) -> Field {
    Field::new(name, type_ref(data_type), |_| FieldFuture::from_value(None))
}

pub(super) fn argument(name: &str, data_type: &str, description: &str) -> InputValue {
    InputValue::new(name, type_ref(data_type)).description(description)
}

/// An input whose name says all that its type's description does not.
fn plain(name: &str, data_type: &str) -> InputValue {
    InputValue::new(name, type_ref(data_type))
}

fn defaulted(name: &str, data_type: &str, default: Value, description: &str) -> InputValue {
    argument(name, data_type, description).default_value(default)
}

/// A type as SDL writes it.
fn type_ref(text: &str) -> TypeRef {
    if let Some(inner) = text.strip_suffix('!') {
        return TypeRef::NonNull(Box::new(type_ref(inner)));
    }
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inner) => TypeRef::List(Box::new(type_ref(inner))),
        None => TypeRef::Named(text.to_owned().into()),
    }
}
