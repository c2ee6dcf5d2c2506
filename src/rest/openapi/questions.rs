//! Schemas of a question as a body: what `POST …/query` reads, and what it may answer with.

use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type as JsonType,
};
use utoipa::openapi::{Ref, RefOr, Schema};

use super::pascal;
use super::rows::{json_type, name, one_or_many, sortable};
use super::schema::{Named, components, count, described, flag, list, named, nullable, object, text, word};
use crate::catalog::{Column, Operator, Type};
use crate::encode::MediaType;
use crate::plan::View;
use crate::query::Bucket;

/// Types, and how the names of schemas about conditions on them begin.
const KINDS: [(&str, Type); 10] = [
    ("Bool", Type::Bool),
    ("Int32", Type::Int32),
    ("Int64", Type::Int64),
    ("Float64", Type::Float64),
    ("Decimal", Type::Decimal { precision: 38, scale: 0 }),
    ("String", Type::String),
    ("Date", Type::Date),
    ("Timestamp", Type::Timestamp),
    ("Json", Type::Json),
    ("List", Type::StringList),
];

/// Schemas that every question shares. Only the house reads how questions are answered.
pub(super) fn shared(of_the_house: bool) -> Vec<Named> {
    let mut schemas: Vec<Named> = KINDS.into_iter().flat_map(|(kind, data_type)| met(kind, data_type)).collect();
    let integer_or_null = one_or_many(vec![JsonType::Integer, JsonType::Null]);
    let bytes = ObjectBuilder::new()
        .description(Some(
            "Bytes of the page in each format, about. Parquet is not told: its length hangs on how alike values are.",
        ))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::Object(count("Bytes.").build())))));
    let cost = object(
        "What a question would cost.",
        [
            (
                "rows",
                ObjectBuilder::new()
                    .schema_type(integer_or_null)
                    .description(Some("Rows of all pages; null where they are not known."))
                    .into(),
            ),
            ("rows_exact", flag("Whether the rows were counted, and not guessed by the database.").into()),
            ("page_rows", count("Rows of the page.").into()),
            ("bytes", bytes.into()),
            ("fingerprint", described("The plan's name: equal questions have equal ones.").into()),
            ("cache", described("Where an answer is kept now: `l1` in memory, `l2` in Redis, `none` nowhere.").into()),
            ("stopped_by", nullable("The limit that would end the page, such as `limit`; null for none.").into()),
        ],
    );
    schemas.extend(components([
        ("Cost", cost),
        ("Estimate", object("The answer to `dry_run`.", [("data", named("Cost")), ("meta", named("Meta"))])),
    ]));
    if of_the_house {
        schemas.extend(explanation());
    }
    schemas
}

/// Conditions on values of a type, and a value that they equal in their place.
fn met(kind: &str, data_type: Type) -> Vec<Named> {
    let about = format!("Conditions on a {data_type} column, as far as its contract offers them; all must hold.");
    let about = about.replace("decimal(38,0)", "decimal");
    let fitting = Operator::ALL.into_iter().filter(|operator| operator.fits(data_type));
    let conditions = fitting.fold(ObjectBuilder::new().description(Some(about)), |conditions, operator| {
        conditions.property(operator.as_str(), operand(operator, data_type))
    });
    let name = format!("{kind}Conditions");
    let equal = Operator::Eq.fits(data_type).then(|| {
        let either = AnyOfBuilder::new().item(literal(data_type)).item(Ref::from_schema_name(&name));
        (format!("{kind}Match"), either.description(Some("The value itself, or conditions on it.")).into())
    });
    [(name, conditions.into())].into_iter().chain(equal).collect()
}

fn explanation() -> Vec<Named> {
    let any = |about| ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(about));
    let plan = object(
        "How a question is answered.",
        [
            ("plan", described("The plan in words.").into()),
            ("fingerprint", described("The plan's name.").into()),
            ("dialect", described("Whose SQL it is.").into()),
            ("sql", described("The statement.").into()),
            ("parameters", list("What is bound to its placeholders.", text())),
            ("database", any("What the database says that it would do.").into()),
        ],
    );
    let plan = plan.property("related", any("The same of every relation."));
    components([
        ("PlanInWords", plan),
        ("Explanation", object("The answer to `explain`.", [("data", named("PlanInWords")), ("meta", named("Meta"))])),
    ])
}

/// What an operator compares with.
fn operand(operator: Operator, data_type: Type) -> RefOr<Schema> {
    match operator {
        Operator::In | Operator::Nin => ArrayBuilder::new().items(literal(data_type)).into(),
        Operator::IsNull => ObjectBuilder::new().schema_type(JsonType::Boolean).into(),
        Operator::Has => text().into(),
        _ => literal(data_type).into(),
    }
}

/// A value of a type, as a body writes it.
fn literal(data_type: Type) -> Object {
    let (types, format) = json_type(data_type);
    ObjectBuilder::new().schema_type(one_or_many(types)).format(format).build()
}

/// What values of a type must meet: conditions, or a value that they equal where that is offered.
pub(super) fn met_by(data_type: Type, equal: bool) -> RefOr<Schema> {
    let same = |other: Type| std::mem::discriminant(&other) == std::mem::discriminant(&data_type);
    let kind = KINDS.into_iter().find(|(_, other)| same(*other)).map_or("String", |(kind, _)| kind);
    named(&format!("{kind}{}", if equal { "Match" } else { "Conditions" }))
}

/// The question about a dataset, its filter, and what an expansion of it may say.
pub(super) fn schemas(view: &View) -> Vec<Named> {
    let own = |what: &str| name(view, what);
    let filters = |about: &str| list(about, named(&own("Filter")));
    let filtered: Vec<&Column> = view.columns().filter(|column| !column.filter.is_empty()).collect();
    let offered: Vec<String> = filtered.iter().map(|column| offered(column)).collect();
    let about = format!("What rows must meet: every member must hold. Offered are {}.", offered.join("; "));
    let filter = filtered.iter().fold(ObjectBuilder::new().description(Some(about)), |filter, column| {
        let equal = column.filter.contains(&Operator::Eq);
        filter.property(column.name.as_str(), met_by(column.data_type, equal))
    });
    let filter = filter
        .property("or", filters("At least one of these must hold."))
        .property("and", filters("Every one of these must hold."))
        .property("not", named(&own("Filter")));

    let relations: Vec<_> = view.relations().collect();
    let expand = relations.iter().fold(
        ObjectBuilder::new().description(Some("Rows of other datasets that come with each row.")),
        |expand, relation| {
            let related = format!("{}Expansion", pascal(relation.dataset.as_str()));
            expand.property(relation.name.as_str(), named(&related))
        },
    );
    let sort = || match sortable(view).is_empty() {
        true => None,
        false => Some(list("Keys of the order, the first first.", named(&own("SortKey")))),
    };
    let limit = |about: &str| count(about).minimum(Some(1)).maximum(Some(view.rows_per_request()));
    let mut expansion = ObjectBuilder::new()
        .description(Some("Which related rows, and what of them."))
        .property("select", list("Columns to return.", named(&own("ColumnName"))))
        .property("filter", named(&own("Filter")))
        .property("limit", limit("Related rows of each row at most."));
    let mut question = ObjectBuilder::new()
        .description(Some(
            "A question. It is about rows, unless it has group_by, measures or resample: then it is about groups, and \
             select and expand are no part of it.",
        ))
        .property("select", list("Columns to return, in this order.", named(&own("ColumnName"))))
        .property("filter", named(&own("Filter")))
        .property("limit", limit("Rows of the page at most; as many as a URL without a limit has, without it."))
        .property("cursor", described("Where the page before ended: its `page.next_cursor`."))
        .property("count", named("CountMode"))
        .property("tz", described("The IANA time zone of timestamps in the answer and of the days of groups."))
        .property("measures", list("What is measured in each group.", named(&own("Measure"))))
        .property("having", named(&own("Having")))
        .property("format", named("Format"))
        .property("numbers", named("Numbers"))
        .property("shape", named("Shape"))
        .property("dry_run", flag("Tell what the answer would cost, and do not give it."));
    if let Some(keys) = sort() {
        expansion = expansion.property("sort", keys);
        // Groups are ordered by names that are not those of columns.
        question = question
            .property("sort", list("Keys of the order, the first first; those of rows or those of groups.", text()))
            .property("group_by", list("What makes a group.", named(&own("GroupKey"))));
    }
    if view.dataset().time.is_some() && !sortable(view).is_empty() {
        let about = "Only the newest row for each value of these columns.";
        question = question.property("latest_by", list(about, named(&own("OrderedColumn"))));
    }
    if view.dataset().point_in_time.is_some() {
        question = question
            .property("as_of", described("Only what was known then: a date (its end is meant) or a timestamp."))
            .property("revision", named("Revision"));
    }
    if view.columns().any(|column| column.searchable) {
        question = question.property("search", described("Words that a searchable column must have, every one."));
    }
    if view.media_types().has(MediaType::Csv) {
        question = question.property("guard", named("Guard"));
    }
    if view.bars().is_some() {
        question = question.property("resample", word("The interval of longer bars.", Bucket::ALL.map(Bucket::code)));
    }
    if view.shows_prose_of_the_house() {
        question = question.property("explain", word("Tell how the question is answered.", ["plan"]));
    }
    if !relations.is_empty() {
        expansion = expansion.property("expand", named(&own("Expand")));
        question = question.property("expand", named(&own("Expand")));
    }
    let mut schemas = vec![(own("Filter"), filter.into()), (own("Question"), question.into())];
    schemas.push((own("Expansion"), expansion.into()));
    if !relations.is_empty() {
        schemas.push((own("Expand"), expand.into()));
    }
    let answers = [own("Page"), own("GroupPage"), "Estimate".to_owned(), own("ColumnsPage")];
    let explained = view.shows_prose_of_the_house().then(|| "Explanation".to_owned());
    let answer = answers.into_iter().chain(explained).fold(
        AnyOfBuilder::new().description(Some(
            "A page of rows, or of groups where the question has group_by, measures or resample, or either by columns, \
             or what was asked instead of them. A client that reads JSON by the first form that fits finds groups better typed in the \
             answers of the operation on groups.",
        )),
        |answer, schema| answer.item(Ref::from_schema_name(schema)),
    );
    schemas.push((own("Answer"), answer.into()));
    schemas
}

/// The conditions that a column's contract offers.
fn offered(column: &Column) -> String {
    let operators: Vec<&str> = column.filter.iter().map(|operator| operator.as_str()).collect();
    format!("on `{}` {}", column.name, operators.join(", "))
}
