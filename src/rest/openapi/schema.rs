//! A few words to write JSON Schemas with.

use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, Object, ObjectBuilder, OneOfBuilder, SchemaFormat, SchemaType,
    Type as JsonType,
};
use utoipa::openapi::{Ref, RefOr, Schema};

/// A schema and its name among the components.
pub(super) type Named = (String, RefOr<Schema>);

pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(JsonType::String)
}

pub(super) fn described(description: &str) -> ObjectBuilder {
    text().description(Some(description))
}

/// A text or null.
pub(super) fn nullable(description: &str) -> ObjectBuilder {
    let types = SchemaType::from_iter([JsonType::String, JsonType::Null]);
    ObjectBuilder::new().schema_type(types).description(Some(description))
}

pub(super) fn flag(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(JsonType::Boolean).description(Some(description))
}

/// A whole number or null.
pub(super) fn nullable_count(description: &str) -> ObjectBuilder {
    let types = SchemaType::from_iter([JsonType::Integer, JsonType::Null]);
    ObjectBuilder::new().schema_type(types).minimum(Some(0)).description(Some(description))
}

/// A flag or null.
pub(super) fn nullable_flag(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([JsonType::Boolean, JsonType::Null]))
        .description(Some(description))
}

/// A whole number that is not negative.
pub(super) fn count(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(JsonType::Integer).minimum(Some(0)).description(Some(description))
}

pub(super) fn instant() -> Option<SchemaFormat> {
    Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))
}

pub(super) fn date() -> Option<SchemaFormat> {
    Some(SchemaFormat::KnownFormat(KnownFormat::Date))
}

pub(super) fn list(description: &str, items: impl Into<RefOr<Schema>>) -> RefOr<Schema> {
    ArrayBuilder::new().items(items.into()).description(Some(description)).into()
}

/// A map from any name to a text.
pub(super) fn map(description: &str) -> RefOr<Schema> {
    let values = AdditionalProperties::RefOr(RefOr::T(Schema::Object(text().build())));
    ObjectBuilder::new().description(Some(description)).additional_properties(Some(values)).into()
}

/// The component of that name.
pub(super) fn named(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

/// The component of that name, or null.
pub(super) fn optional(name: &str, description: &str) -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(JsonType::Null);
    OneOfBuilder::new().item(Ref::from_schema_name(name)).item(null).description(Some(description)).into()
}

/// An object whose members are all always there.
pub(super) fn object<'m>(
    description: &str,
    members: impl IntoIterator<Item = (&'m str, RefOr<Schema>)>,
) -> ObjectBuilder {
    let empty = ObjectBuilder::new().description(Some(description));
    members.into_iter().fold(empty, |object, (name, schema)| object.property(name, schema).required(name))
}

/// The one or the other.
pub(super) fn either(one: &str, other: &str) -> RefOr<Schema> {
    OneOfBuilder::new().item(Ref::from_schema_name(one)).item(Ref::from_schema_name(other)).into()
}

/// One of those words.
pub(super) fn word<'w>(description: &str, words: impl IntoIterator<Item = &'w str>) -> Object {
    described(description).enum_values(Some(words)).build()
}

/// One of those words, with names for languages that cannot take the words themselves.
pub(super) fn word_called(description: &str, words: &[(String, String)]) -> Object {
    let names: Vec<&str> = words.iter().map(|(_, name)| name.as_str()).collect();
    described(description)
        .enum_values(Some(words.iter().map(|(word, _)| word.as_str())))
        .extensions(Some(ExtensionsBuilder::new().add("x-enum-varnames", names).build()))
        .build()
}

/// Components of those names.
pub(super) fn components<const N: usize>(schemas: [(&str, ObjectBuilder); N]) -> Vec<Named> {
    schemas.map(|(name, schema)| (name.to_owned(), schema.into())).into()
}
