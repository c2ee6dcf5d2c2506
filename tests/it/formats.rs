//! One answer in every format: the same rows whatever they are written as, for whoever may have them so.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, ListArray, RecordBatch, StructArray};
use arrow_ipc::reader::StreamReader;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use aws_lc_rs::digest;
use martello::app::House;
use martello::catalog::Type;
use martello::config::Config;
use martello::encode::{Encoder, Facts, MediaType, Style};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::differential::houses::Houses;
use crate::support::{Answer, Backend, Server, config, repository};

/// Questions over rows with quotes, ends of lines, nulls, empty texts and lists, 38 digits, the ends of the calendar and
/// of the floats.
const QUESTIONS: [&str; 9] = [
    "edge/rows?limit=1000",
    "edge/rows?select=word,tags,doc,day,wild,flag&sort=-word,id&limit=300",
    "edge/rows?select=word&limit=300",
    "edge/rows?small=12345",
    "edge/rows/9007199254740993",
    "edge/aggregate?group_by=flag,day:month&measures=count(),sum(price),avg(ratio),max(seen)&limit=300",
    "edge_wide/rows?limit=1000",
    "edge_kind/rows?limit=100",
    "edge_fact/rows?as_of=2012-06-01&limit=500",
];
/// Questions with rows inside rows, for which a table has no place.
const NESTED: [&str; 2] = [
    "edge/rows?select=id,word&limit=200&expand=described,parent(id,wild,expand=described),children(limit=3)",
    "edge_kind/rows?select=kind&expand=facts(limit=2)",
];

/// The rows of a document in the way of NDJSON: what a line of it would be, row by row.
fn lines(batches: &[RecordBatch], schema: &SchemaRef) -> String {
    let schema = Arc::new(Schema::new(schema.fields().iter().map(|field| marked(field)).collect::<Vec<_>>()));
    let mut encoder =
        Encoder::new(MediaType::Ndjson, &schema, &Style::default(), &Facts::default()).expect("an encoder");
    let mut out = Vec::new();
    for batch in batches {
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| of(field.data_type(), array));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("a batch");
        encoder.write(&batch, &mut out).expect("written");
    }
    String::from_utf8(out).expect("UTF-8")
}

/// The field as sources give it, where `doc` is marked as JSON: to readers it is a text like others.
fn marked(field: &Field) -> Field {
    match field.data_type() {
        DataType::Utf8 if field.name() == "doc" => {
            assert_eq!(field.extension_type_name(), None);
            Type::Json.field("doc", field.is_nullable())
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| marked(field)).collect();
            field.clone().with_data_type(DataType::Struct(fields))
        }
        DataType::List(item) => field.clone().with_data_type(DataType::List(Arc::new(marked(item)))),
        _ => field.clone(),
    }
}

/// The array with the fields of a type.
fn of(data_type: &DataType, array: &ArrayRef) -> ArrayRef {
    match data_type {
        DataType::Struct(fields) if !fields.is_empty() => {
            let rows = array.as_struct();
            let columns = fields.iter().zip(rows.columns()).map(|(field, column)| of(field.data_type(), column));
            Arc::new(StructArray::new(fields.clone(), columns.collect(), rows.nulls().cloned()))
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = of(item.data_type(), list.values());
            Arc::new(ListArray::new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned()))
        }
        _ => Arc::clone(array),
    }
}

fn arrow(answer: &Answer) -> (SchemaRef, Vec<RecordBatch>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/vnd.apache.arrow.stream"));
    let reader = StreamReader::try_new(answer.body.as_slice(), None).expect("a stream");
    (reader.schema(), reader.map(|batch| batch.expect("a batch")).collect())
}

fn parquet_of(answer: &Answer) -> ParquetRecordBatchReaderBuilder<bytes::Bytes> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/vnd.apache.parquet"));
    ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(answer.body.clone())).expect("a file")
}

fn parquet(answer: &Answer) -> (SchemaRef, Vec<RecordBatch>) {
    let builder = parquet_of(answer);
    let schema = Arc::clone(builder.schema());
    (schema, builder.build().expect("rows").map(|batch| batch.expect("a batch")).collect())
}

/// Records as RFC 4180 has them. A field of nothing at all is null; so are two quotes that are the whole record.
fn csv(answer: &Answer) -> Vec<Vec<Option<String>>> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let text = String::from_utf8(answer.body.clone()).expect("UTF-8");
    assert!(!text.starts_with('\u{FEFF}'));
    let (mut records, mut record, mut rest) = (Vec::new(), Vec::new(), text.as_str());
    while !rest.is_empty() {
        let field = if rest.starts_with('"') {
            let mut end = 1;
            loop {
                end += rest[end..].find('"').expect("a closing quote");
                if !rest[end + 1..].starts_with('"') {
                    break;
                }
                end += 2;
            }
            let field = rest[1..end].replace("\"\"", "\"");
            rest = &rest[end + 1..];
            Some(field)
        } else {
            let end = rest.find([',', '\r', '\n']).expect("an end");
            let field = &rest[..end];
            assert!(!field.contains('"'), "{field}");
            rest = &rest[end..];
            Some(field.to_owned()).filter(|field| !field.is_empty())
        };
        record.push(field);
        match rest.strip_prefix("\r\n") {
            Some(further) => {
                records.push(std::mem::take(&mut record));
                rest = further;
            }
            None => rest = rest.strip_prefix(',').expect("a comma"),
        }
    }
    records
}

/// What a value of JSON is in CSV.
fn cell(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        text if text.starts_with('"') => Some(serde_json::from_str(text).expect("a text")),
        text => Some(text.to_owned()),
    }
}

/// The members of an object in their order.
fn members(line: &str) -> Vec<(String, Box<RawValue>)> {
    struct Members(Vec<(String, Box<RawValue>)>);
    impl<'de> serde::Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
            struct Read;
            impl<'de> serde::de::Visitor<'de> for Read {
                type Value = Members;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            input.deserialize_map(Read)
        }
    }
    serde_json::from_str::<Members>(line).unwrap_or_else(|error| panic!("{error}: {line}")).0
}

fn in_format(question: &str, format: &str) -> String {
    let target = format!("/v1/datasets/{question}");
    format!("{target}{}format={format}", if target.contains('?') { "&" } else { "?" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_has_the_same_rows_in_every_store() {
    let houses = Houses::open().await;
    for question in QUESTIONS.into_iter().chain(NESTED) {
        let ask = async |format: &str| houses.ask(&in_format(question, format), None).await;
        let (jsons, ndjsons, csvs, arrows, parquets) =
            (ask("json").await, ask("ndjson").await, ask("csv").await, ask("arrow").await, ask("parquet").await);
        for place in 0..jsons.len() {
            let (backend, page) = &jsons[place];
            assert_eq!(page.status, 200, "{backend:?} {question}: {}", page.text());
            let ndjson = &ndjsons[place].1;
            assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
            let text = ndjson.text();
            assert!(text.is_empty() || text.ends_with('\n'));
            let rows: Vec<&str> = text.lines().collect();
            let data = match question.contains("/rows/") {
                true => format!("{{\"data\":{},\"meta\":", rows[0]),
                false => format!("{{\"data\":[{}],\"page\":", rows.join(",")),
            };
            assert!(page.text().starts_with(&data), "{backend:?} {question}");

            for (format, (schema, batches)) in
                [("arrow", arrow(&arrows[place].1)), ("parquet", parquet(&parquets[place].1))]
            {
                assert_eq!(lines(&batches, &schema), text, "{backend:?} {question} {format}");
                assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows.len());
                if let Some(row) = rows.first() {
                    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
                    assert_eq!(names, members(row).into_iter().map(|(name, _)| name).collect::<Vec<_>>());
                }
            }

            let csv_answer = &csvs[place].1;
            if question.contains("expand") {
                assert_eq!(csv_answer.problem(), "not-in-format");
                assert_eq!(csv_answer.json()["parameter"], "expand");
                continue;
            }
            let records = csv(csv_answer);
            assert_eq!(records.len(), rows.len() + 1, "{backend:?} {question}");
            let header = &records[0];
            for (row, record) in rows.iter().zip(&records[1..]) {
                for ((name, value), (column, found)) in members(row).iter().zip(header.iter().zip(record)) {
                    assert_eq!(column.as_ref(), Some(name));
                    // A document is its JSON, which may itself be null, and a null that stands alone is two quotes.
                    let expected = if name == "doc" { Some(value.get().to_owned()) } else { cell(value) };
                    let alike = match (expected, found.as_deref()) {
                        (Some(null), None) if name == "doc" => null == "null",
                        (None, Some("")) => header.len() == 1,
                        (expected, found) => expected.as_deref() == found,
                    };
                    assert!(alike, "{backend:?} {question} {name}: {value} {found:?}");
                }
            }
        }
        if !question.contains("avg") {
            for answers in [&ndjsons, &csvs] {
                let [(_, sqlite), others @ ..] = answers;
                for (backend, other) in others {
                    let same = sqlite.status == 400 || sqlite.body == other.body;
                    assert!(same, "{backend:?} {question}: {} {}", sqlite.text(), other.text());
                }
            }
        }
    }
    houses.close().await;
}

#[tokio::test]
async fn what_has_no_finite_value_is_null_in_every_format() {
    let houses = Houses::open().await;
    houses.change_postgres("UPDATE edge SET wild = 'NaN', ratio = '-Infinity' WHERE id = 1").await;
    let target = "/v1/datasets/edge/rows?id.in=1&select=id,wild,ratio&format=";
    let [_, (_, ndjson), _] = houses.ask(&format!("{target}ndjson"), None).await;
    let expected = "{\"id\":1,\"wild\":null,\"ratio\":null}\n";
    assert_eq!(ndjson.text(), expected);
    let [_, (_, csv), _] = houses.ask(&format!("{target}csv"), None).await;
    assert_eq!(csv.text(), "id,wild,ratio\r\n1,,\r\n");
    let [_, (_, stream), _] = houses.ask(&format!("{target}arrow"), None).await;
    let [_, (_, file), _] = houses.ask(&format!("{target}parquet"), None).await;
    for (schema, batches) in [arrow(&stream), parquet(&file)] {
        assert_eq!(lines(&batches, &schema), expected);
        assert_eq!(batches[0].column(1).null_count() + batches[0].column(2).null_count(), 2);
    }
    houses.close().await;
}

#[tokio::test]
async fn exact_bytes_of_the_text_formats() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let ask = async |target: &str| server.get("internal_scientist", &format!("/v1/datasets/{target}")).await.text();
        let bar =
            "price_daily/rows?symbol=AAPL&date.in=2005-02-28,2005-03-01&select=symbol,date,close,volume,ex_dividend";
        assert_eq!(
            ask(&format!("{bar}&format=csv")).await,
            "symbol,date,close,volume,ex_dividend\r\n\
             AAPL,2005-02-28,44.860000,11635900,\r\n\
             AAPL,2005-03-01,44.500000,16721000,\r\n"
        );
        assert_eq!(
            ask(&format!("{bar}&format=ndjson&numbers=string")).await,
            "{\"symbol\":\"AAPL\",\"date\":\"2005-02-28\",\"close\":\"44.860000\",\"volume\":\"11635900\",\"ex_dividend\":null}\n\
             {\"symbol\":\"AAPL\",\"date\":\"2005-03-01\",\"close\":\"44.500000\",\"volume\":\"16721000\",\"ex_dividend\":null}\n"
        );
        let columns = ask(&format!("{bar}&shape=columns")).await;
        let expected = "{\"data\":{\"symbol\":[\"AAPL\",\"AAPL\"],\"date\":[\"2005-02-28\",\"2005-03-01\"],\
                        \"close\":[44.860000,44.500000],\"volume\":[11635900,16721000],\"ex_dividend\":[null,null]},\
                        \"page\":{\"limit\":100,\"count\":2,\"has_more\":false,\"next_cursor\":null},\"meta\":{";
        assert!(columns.starts_with(expected), "{columns}");
        let groups = ask("price_daily/aggregate?measures=count()&symbol=AAPL&date=2005-02-28&shape=columns").await;
        assert!(groups.starts_with("{\"data\":{\"count\":[1]},\"page\":{"), "{groups}");
        let news =
            ask("news/rows?category=ticker_change&limit=1&select=published_at,symbols&format=csv&tz=Asia/Tokyo").await;
        assert!(news.starts_with("published_at,symbols\r\n2"), "{news}");
        assert!(news.ends_with("T09:00:00+09:00,\"[\"\"FB\"\",\"\"META\"\"]\"\r\n"), "{news}");
        // No row is a document all the same.
        assert_eq!(ask("price_daily/rows?symbol.in=&select=symbol,date&format=csv").await, "symbol,date\r\n");
        assert_eq!(ask("price_daily/rows?symbol.in=&format=ndjson").await, "");
        let none = ask("price_daily/rows?symbol.in=&select=symbol,date&shape=columns").await;
        assert!(none.starts_with("{\"data\":{\"symbol\":[],\"date\":[]},"), "{none}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_document_says_of_which_dataset_and_contract_it_is() {
    let text = std::fs::read(repository().join("catalog/datasets/price_daily.yaml")).expect("a contract");
    let hash = digest::digest(&digest::SHA256, &text);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let server = Server::over(Backend::Sqlite).await;
    let target = "/v1/datasets/price_daily/rows?limit=3&tz=America/New_York";
    let stream = server.get("client_pro", &format!("{target}&format=arrow")).await;
    let file = server.get("client_pro", &format!("{target}&format=parquet")).await;
    for (schema, _) in [arrow(&stream), parquet(&file)] {
        let said = |key: &str| schema.metadata().get(key).map(String::as_str);
        assert_eq!(said("martello.dataset"), Some("price_daily"));
        assert_eq!(said("martello.contract"), Some(hash.as_str()));
        assert_eq!(said("martello.tz"), Some("America/New_York"));
        // A live dataset has no version.
        assert_eq!(said("martello.version"), None);
        let close = schema.field_with_name("close").expect("a column").metadata();
        assert!(close.contains_key("martello.description") && close.contains_key("martello.unit"), "{close:?}");
    }
    // Readers that know nothing of Arrow find the same among Parquet's own pairs.
    let builder = parquet_of(&file);
    let pairs = builder.metadata().file_metadata().key_value_metadata().expect("pairs");
    let said = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
    assert_eq!(said("martello.dataset").as_deref(), Some("price_daily"));
    assert_eq!(said("martello.contract"), Some(hash));
    let group = builder.metadata().row_group(0);
    assert!(group.columns().iter().all(|column| matches!(column.compression(), parquet::basic::Compression::ZSTD(_))));
    server.stop().await;
}

#[tokio::test]
async fn the_accept_header_chooses_by_its_weights_and_format_goes_before_it() {
    let server = Server::over(Backend::Sqlite).await;
    let rows = "/v1/datasets/price_daily/rows?limit=1";
    let token = server.token("client_pro");
    let ask = async |accept: &str, format: &str| {
        let request = server.request(Method::GET, &format!("{rows}{format}")).bearer_auth(&token);
        server.send(request.header("accept", accept)).await
    };
    for (accept, format, expected) in [
        ("*/*", "", "application/json"),
        ("text/csv", "", "text/csv; charset=utf-8; header=present"),
        ("text/csv;q=0.5, application/x-ndjson;q=0.6", "", "application/x-ndjson"),
        ("text/csv;q=0.601, application/x-ndjson;q=0.6", "", "text/csv; charset=utf-8; header=present"),
        ("application/vnd.apache.parquet, */*;q=0.1", "", "application/vnd.apache.parquet"),
        ("application/vnd.apache.arrow.stream, */*", "", "application/vnd.apache.arrow.stream"),
        ("application/json;q=0, application/*", "", "application/x-ndjson"),
        ("text/csv", "&format=ndjson", "application/x-ndjson"),
        ("text/html", "&format=text/csv", "text/csv; charset=utf-8; header=present"),
    ] {
        let answer = ask(accept, format).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(expected)), "{accept} {format}");
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("Accept")), "{accept}");
    }
    let refused = ask("text/html, text/csv;q=0", "").await;
    assert_eq!((refused.status, refused.problem().as_str()), (406, "not-acceptable"));
    let hint = refused.json()["hint"].as_str().expect("a hint").to_owned();
    for media_type in MediaType::ALL {
        assert!(hint.contains(media_type.as_str()) && hint.contains(media_type.format()), "{hint}");
    }
    assert_eq!(ask("*/*", "&format=xml").await.problem(), "not-acceptable");
    server.stop().await;
}

#[tokio::test]
async fn a_format_that_a_role_may_not_have_is_forbidden_and_names_those_that_it_may() {
    let server = Server::over(Backend::Sqlite).await;
    let token = server.token("client_basic");
    let rows = "/v1/datasets/price_daily/rows?limit=1";
    let by_accept = server.request(Method::GET, rows).bearer_auth(&token);
    let by_body = server.request(Method::POST, "/v1/datasets/price_daily/query").bearer_auth(&token);
    for answer in [
        server.get("client_basic", &format!("{rows}&format=parquet")).await,
        server.get("client_basic", "/v1/datasets/price_daily/rows/AAPL/2005-02-28?format=ndjson").await,
        server.get("client_basic", "/v1/datasets/price_daily/aggregate?measures=count()&format=arrow").await,
        server.send(by_accept.header("accept", "application/vnd.apache.arrow.stream, text/html")).await,
        server.send(by_body.json(&json!({ "format": "parquet" }))).await,
    ] {
        assert_eq!((answer.status, answer.problem().as_str()), (403, "format-not-granted"));
        let hint = answer.json()["hint"].as_str().expect("a hint").to_owned();
        assert_eq!(hint, "it may have: json (application/json), csv (text/csv)");
    }
    // What is granted is found behind what is not.
    let request = server.request(Method::GET, rows).bearer_auth(&token);
    let answer = server.send(request.header("accept", "application/vnd.apache.parquet, text/csv;q=0.1")).await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    // What nobody has, nobody is forbidden.
    assert_eq!(server.get("client_basic", &format!("{rows}&format=xml")).await.status, 406);
    let described = server.get("client_basic", "/v1/datasets/price_daily").await.json();
    assert_eq!(described["data"]["formats"], json!(["json", "csv"]));
    let listed = server.get("client_pro", "/v1/datasets").await.rows();
    assert!(listed.iter().all(|one| one["formats"] == json!(["json", "ndjson", "csv", "arrow", "parquet"])));
    let document = server.get("client_basic", "/openapi.json").await.json();
    let content = &document["paths"]["/v1/datasets/price_daily/rows"]["get"]["responses"]["200"]["content"];
    let offered: Vec<&String> = content.as_object().expect("media types").keys().collect();
    assert_eq!(offered, ["application/json", "text/csv"]);
    assert_eq!(document["components"]["schemas"]["Format"]["enum"], json!(["json", "csv"]));
    server.stop().await;
}

/// A role has JSON where the matrix says nothing; a dataset may have less than its role, and takes that along into the
/// rows of others.
#[tokio::test]
async fn formats_are_granted_by_role_and_by_dataset() {
    let folder = tempfile::tempdir().expect("a folder");
    let (catalog, contracts) = (repository().join("catalog"), folder.path().join("datasets"));
    std::fs::create_dir(&contracts).expect("a folder");
    for entry in std::fs::read_dir(catalog.join("datasets")).expect("a folder") {
        let file = entry.expect("an entry").path();
        std::fs::copy(&file, contracts.join(file.file_name().expect("a name"))).expect("copied");
    }
    let access = std::fs::read_to_string(catalog.join("access.yaml")).expect("a text");
    let fewer = access.replacen("    formats: [json, csv]\n", "", 1).replacen(
        "        columns: {all_but: [tier]}\n",
        "        columns: {all_but: [tier]}\n        formats: [csv, parquet]\n",
        1,
    );
    std::fs::write(folder.path().join("access.yaml"), &fewer).expect("written");
    let config = Config { catalog: folder.path().to_owned(), ..config(Backend::Sqlite) };
    let house = House::load(&config).expect("a catalog");
    assert_eq!(
        house.matrix.role("client_basic").expect("a role").grant("news").expect("a grant").media_types.formats(),
        "json"
    );
    let server = Server::start(config).await;
    let status = async |role: &str, target: &str| {
        let answer = server.get(role, &format!("/v1/datasets/{target}")).await;
        (answer.status, answer.header("content-type").map(str::to_owned))
    };
    let problem = || (403, Some("application/problem+json".to_owned()));
    assert_eq!(status("client_basic", "news/rows?limit=1&format=csv").await, problem());
    assert_eq!(status("client_pro", "company_profile/rows?limit=1&format=json").await, problem());
    assert_eq!(status("client_pro", "company_profile/rows?limit=1&format=ndjson").await, problem());
    // Where JSON is not granted, the first that is comes without being asked for.
    let csv = Some("text/csv; charset=utf-8; header=present".to_owned());
    assert_eq!(status("client_pro", "company_profile/rows?limit=1").await, (200, csv));
    assert_eq!(status("client_pro", "price_daily/rows?limit=1&format=ndjson").await.0, 200);
    assert_eq!(status("client_pro", "price_daily/rows?limit=1&format=ndjson&expand=profile").await, problem());
    assert_eq!(status("client_pro", "price_daily/rows?limit=1&format=parquet&expand=profile").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn what_a_format_has_no_place_for_is_refused_and_says_what_has() {
    let server = Server::over(Backend::Sqlite).await;
    let rows = "/v1/datasets/price_daily/rows?limit=1";
    for (question, parameter, mentioned) in [
        ("format=arrow&numbers=string", "numbers", "json, ndjson, csv"),
        ("format=parquet&numbers=string", "numbers", "json, ndjson, csv"),
        ("format=csv&shape=columns", "shape", "json"),
        ("format=ndjson&shape=columns", "shape", "json"),
        ("guard=formulas", "guard", "csv"),
        ("format=parquet&guard=formulas", "guard", "csv"),
        ("format=csv&count=exact", "count", "json"),
        ("format=arrow&count=estimated", "count", "json"),
        ("format=csv&expand=profile", "expand", "json, ndjson, arrow, parquet"),
        ("format=csv&dry_run=true", "dry_run", "format"),
        ("format=parquet&explain=plan", "explain", "format"),
    ] {
        let answer = server.get("internal_scientist", &format!("{rows}&{question}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "not-in-format"), "{question}");
        let problem = answer.json();
        assert_eq!(problem["parameter"], parameter, "{question}");
        assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains(mentioned)), "{problem}");
        let format = question.split('&').find_map(|part| part.strip_prefix("format=")).unwrap_or("json");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(format)), "{problem}");
    }
    for question in [
        "format=csv&count=none",
        "format=arrow&shape=rows",
        "format=csv&guard=none&numbers=string",
        "format=parquet&tz=UTC",
        // What a form fills in by itself.
        "format=arrow&numbers=exact&guard=none&count=none",
    ] {
        assert_eq!(server.get("internal_scientist", &format!("{rows}&{question}")).await.status, 200, "{question}");
    }
    // One row has no columns to lie by.
    let one = server.get("client_pro", "/v1/datasets/price_daily/rows/AAPL/2005-02-28?shape=columns").await;
    assert_eq!((one.status, one.problem().as_str()), (400, "unknown-parameter"));
    // What is told instead of rows is JSON, for whoever accepts it.
    let token = server.token("client_basic");
    for (accept, status) in [("application/json", 200), ("text/csv, */*;q=0.1", 200), ("text/csv", 406)] {
        let request = server.request(Method::GET, &format!("{rows}&dry_run=true")).bearer_auth(&token);
        let answer = server.send(request.header("accept", accept)).await;
        assert_eq!(answer.status, status, "{accept}: {}", answer.text());
    }
    let told = server.get("client_basic", &format!("{rows}&dry_run=true&format=json")).await.json();
    let told: Vec<&String> = told["data"]["bytes"].as_object().expect("bytes").keys().collect();
    assert_eq!(told, ["json", "csv"]);
    server.stop().await;
}

#[tokio::test]
async fn every_format_is_a_page_that_says_where_the_next_one_begins() {
    let server = Server::over(Backend::Sqlite).await;
    let rows = "/v1/datasets/price_daily/rows?symbol=AAPL&date.gte=2014-12-01&select=date&limit=10";
    let next = server.get("client_pro", rows).await;
    assert_eq!(next.header("martello-next-cursor"), None);
    let next = next.json()["page"]["next_cursor"].as_str().expect("a cursor").to_owned();
    for (format, disposition) in [
        ("ndjson", None),
        ("csv", Some("attachment; filename=\"price_daily.csv\"")),
        ("arrow", Some("attachment; filename=\"price_daily.arrows\"")),
        ("parquet", Some("attachment; filename=\"price_daily.parquet\"")),
    ] {
        let answer = server.get("client_pro", &format!("{rows}&format={format}")).await;
        assert_eq!(answer.header("martello-next-cursor"), Some(next.as_str()), "{format}");
        assert_eq!(answer.header("content-disposition"), disposition, "{format}");
        let link = answer.header("link").expect("a link");
        assert!(link.contains(&format!("&format={format}&cursor={next}>; rel=\"next\"")), "{link}");
        // A cursor is a question's, not a format's.
        let request =
            server.request(Method::POST, "/v1/datasets/price_daily/query").bearer_auth(server.token("client_pro"));
        let body = json!({
            "filter": {"symbol": "AAPL", "date": {"gte": "2014-12-01"}}, "select": ["date"], "limit": 10, "format": format,
        });
        let posted = server.send(request.json(&body)).await;
        assert_eq!((posted.header("martello-next-cursor"), posted.header("link")), (Some(next.as_str()), None));
        assert_eq!(posted.body, answer.body, "{format}");
    }
    let (mut dates, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get("client_pro", &format!("{rows}&format=csv{cursor}")).await;
        dates.extend(csv(&page).into_iter().skip(1).flatten().flatten());
        let Some(next) = page.header("martello-next-cursor") else { break };
        cursor = format!("&cursor={next}");
    }
    let all = server.get("client_pro", &rows.replace("limit=10", "limit=100")).await.rows();
    assert_eq!(json!(dates), all.iter().map(|row| row["date"].clone()).collect::<Value>());
    assert_eq!(dates.len(), 22);
    server.stop().await;
}

#[tokio::test]
async fn the_guard_keeps_texts_from_being_formulas() {
    let houses = Houses::open().await;
    for id in 1..4 {
        let text = ["=cmd|' /C calc'!A0", "@SUM(1,2)", "plain"][id - 1].replace('\'', "''");
        houses.change_postgres(&format!("UPDATE edge SET word = '{text}', price = -1 WHERE id = {id}")).await;
    }
    let target = "/v1/datasets/edge/rows?id.in=1,2,3&select=word,price&sort=id&format=csv";
    let [_, (_, plain), _] = houses.ask(target, None).await;
    assert_eq!(plain.text(), "word,price\r\n=cmd|' /C calc'!A0,-1.0000\r\n\"@SUM(1,2)\",-1.0000\r\nplain,-1.0000\r\n");
    let [_, (_, guarded), _] = houses.ask(&format!("{target}&guard=formulas"), None).await;
    assert_eq!(
        guarded.text(),
        "word,price\r\n'=cmd|' /C calc'!A0,-1.0000\r\n\"'@SUM(1,2)\",-1.0000\r\nplain,-1.0000\r\n"
    );
    houses.close().await;
}
