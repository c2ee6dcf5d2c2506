//! Contracts on disk to a [`Catalog`]: reads every file, reports every fault, and yields a catalog only without any.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use serde_saphyr::Spanned;

use super::contract::{BarsForm, CheckForm, ColumnForm, Contract, Text};
use super::dataset::{
    Bars, Check, Column, ColumnIndex, Dataset, Deprecation, Direction, Lineage, PointInTime, RelationKind, Relationship,
};
use super::yaml::{Checked, Fault};
use super::{Catalog, Error, Function, NAME_BYTES_MAX, Name, RELATION_COLUMNS_MAX, RESERVED, Relation, Type};

/// More columns than any mart should have; a bound on everything that is per column.
const COLUMNS_MAX: usize = 512;

/// A measure's name is its function's, an underscore and the column's, and must be a name itself.
const AGGREGATED_BYTES_MAX: usize = NAME_BYTES_MAX - "count_distinct_".len();

/// What a source may put behind the name of a relation to call its table of words; what that is made of has more behind.
const WORDS: &str = "__search";

/// Reads `datasets/*.yaml` under the folder.
///
/// # Errors
/// When the folder cannot be read, or with every fault of every file.
pub fn load(folder: &Path) -> Result<Catalog, Error> {
    let datasets = folder.join("datasets");
    let unreadable = |source| Error::Unreadable { path: datasets.clone(), source };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&datasets)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"));
    files.sort();
    if files.is_empty() {
        return Err(Error::Empty { path: datasets });
    }

    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        match std::fs::read_to_string(&file) {
            Ok(text) => texts.push((file, text)),
            Err(source) => return Err(Error::Unreadable { path: file, source }),
        }
    }
    compile(&texts)
}

/// Compiles contracts from texts, each with the file that it is from.
///
/// # Errors
/// With every fault of every file.
pub fn compile(texts: &[(PathBuf, String)]) -> Result<Catalog, Error> {
    let mut datasets: BTreeMap<Name, Arc<Dataset>> = BTreeMap::new();
    let mut forms = Vec::new();
    let mut faults = Vec::new();
    for (file, text) in texts {
        let mut checked = Checked::new(file, text);
        if let Some(contract) = checked.read::<Contract>() {
            if let Some(dataset) = dataset(&contract, text, &mut checked) {
                let name = dataset.name.clone();
                let stem = file.file_stem().and_then(|stem| stem.to_str());
                if stem != Some(name.as_str()) {
                    checked.at(
                        contract.name.referenced,
                        format_args!("the file of dataset {name} must be called {name}.yaml"),
                    );
                }
                datasets.insert(name, Arc::new(dataset));
            }
            forms.push((file, text, contract));
        }
        faults.append(&mut checked.faults);
    }
    // A relation can be judged only when both of its ends are known; a broken file has said its own already.
    if faults.is_empty() {
        for (file, text, contract) in &forms {
            faults.append(&mut references(&datasets, contract, Checked::new(file, text)));
        }
    }
    if faults.is_empty() { Ok(Catalog { datasets }) } else { Err(Error::Faults(faults)) }
}

/// Judges what one contract says of others.
fn references(datasets: &BTreeMap<Name, Arc<Dataset>>, contract: &Contract, mut checked: Checked<'_>) -> Vec<Fault> {
    let this = &datasets[contract.name.value.as_str()];
    let words_of = datasets.values().find(|other| {
        let behind = this.relation.table.as_str().strip_prefix(other.relation.table.as_str());
        other.source == this.source && other.is_searchable() && behind.is_some_and(|behind| behind.starts_with(WORDS))
    });
    if let Some(other) = words_of {
        let place = contract.source.relation.referenced;
        checked
            .at(place, format_args!("{} may be where {} keeps its words: expected another", this.relation, other.name));
    }
    let known = || datasets.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
    let named = contract.lineage.derived_from.iter();
    let named = named.chain(contract.deprecation.iter().filter_map(|form| form.replacement.as_ref()));
    for name in named {
        if !datasets.contains_key(name.value.as_str()) {
            let found = &name.value;
            checked.at(name.referenced, format_args!("no dataset {found:?}: expected one of {}", known()));
        }
    }
    for form in &contract.relations {
        let Some(other) = datasets.get(form.dataset.value.as_str()) else {
            let found = &form.dataset.value;
            checked.at(form.dataset.referenced, format_args!("no dataset {found:?}: expected one of {}", known()));
            continue;
        };
        for (ours, theirs) in &form.on {
            let Some(column) = other.column(&theirs.value) else {
                checked.at(theirs.referenced, format_args!("{} has no column {:?}", other.name, theirs.value));
                continue;
            };
            let theirs_type = other.columns[column].data_type;
            if let Some(ours_type) = this.column(ours).map(|column| this.columns[column].data_type)
                && ours_type != theirs_type
            {
                checked.at(
                    theirs.referenced,
                    format_args!("{ours} is {ours_type}, but {}.{} is {theirs_type}", other.name, theirs.value),
                );
            }
        }
        let keyed = other.primary_key.len() == form.on.len()
            && (other.primary_key.iter())
                .all(|key| form.on.values().any(|on| on.value == other.columns[*key].name.as_str()));
        if form.kind == RelationKind::One && !keyed {
            checked.at(
                form.name.referenced,
                format_args!("a relation to one row must be on the whole primary key of {}", other.name),
            );
        }
    }
    checked.faults
}

/// One contract by itself. `None` when a fault leaves nothing to go on with.
fn dataset(contract: &Contract, text: &str, checked: &mut Checked<'_>) -> Option<Dataset> {
    let name: Option<Name> = checked.parse(&contract.name);
    let columns = columns(&contract.columns, checked);
    let by_name: HashMap<Name, ColumnIndex> =
        columns.iter().enumerate().map(|(index, column)| (column.name.clone(), index)).collect();
    // A column that was itself at fault is missing here, and what refers to it would only be noise.
    if columns.len() != contract.columns.value.len() {
        return None;
    }
    let mut scope = Scope { columns: &columns, by_name: &by_name, checked };

    let primary_key = scope.all(&contract.primary_key.value);
    if contract.primary_key.value.is_empty() {
        let place = contract.primary_key.referenced;
        scope.checked.at(place, "expected at least one column: without a key there is no order and no page");
    }
    for key in &contract.primary_key.value {
        if let Some(index) = by_name.get(key.value.as_str()).copied() {
            scope.key(index, key);
        }
    }
    let default_order = match &contract.default_order {
        Some(order) => scope.order(order),
        None => primary_key.iter().map(|index| (*index, Direction::Ascending)).collect(),
    };
    let time = contract.time.as_ref().and_then(|text| scope.instant(text));
    let point_in_time = contract.point_in_time.as_ref().and_then(|form| {
        let known_at = scope.instant(&form.known_at);
        let identity = scope.all(&form.identity);
        let period = scope.one(&form.period);
        Some(PointInTime { known_at: known_at?, identity, period: period? })
    });
    let timed = time.is_some_and(|time| primary_key.contains(&time));
    let bars = contract.bars.as_ref().and_then(|form| scope.bars(form, timed));
    let relations = contract.relations.iter().filter_map(|form| {
        let name = scope.checked.parse::<Name>(&form.name);
        let dataset = scope.checked.parse::<Name>(&form.dataset);
        if form.on.is_empty() || form.on.len() > RELATION_COLUMNS_MAX {
            scope
                .checked
                .at(form.name.referenced, format_args!("expected `on` with 1 to {RELATION_COLUMNS_MAX} columns"));
        }
        let mut on = Vec::with_capacity(form.on.len());
        for (ours, theirs) in &form.on {
            let Some(index) = by_name.get(ours.as_str()) else {
                scope.checked.at(theirs.referenced, format_args!("no column {ours:?} in this contract"));
                continue;
            };
            on.extend(scope.checked.parse::<Name>(theirs).map(|theirs| (*index, theirs)));
        }
        if by_name.contains_key(form.name.value.as_str()) {
            scope.checked.at(form.name.referenced, "a column has this name already");
        }
        Some(Relationship {
            name: name?,
            dataset: dataset?,
            kind: form.kind,
            on,
            description: form.description.clone(),
        })
    });
    let relations = relations.collect();
    if let Some(due) = &contract.sla.due
        && jiff::civil::Time::strptime("%H:%M", due).is_err()
    {
        let place = contract.name.referenced;
        scope.checked.at(place, format_args!("sla.due {due:?} is no UTC time of day: expected HH:MM"));
    }
    let checks = contract.checks.iter().filter_map(|form| scope.check(form)).collect();
    let derived_from = contract.lineage.derived_from.iter().filter_map(|name| name.value.parse().ok()).collect();
    let deprecation = contract.deprecation.as_ref().and_then(|form| {
        let since = scope.checked.parse::<jiff::civil::Date>(&form.since)?;
        let sunset = match &form.sunset {
            Some(sunset) => Some(scope.checked.parse::<jiff::civil::Date>(sunset)?),
            None => None,
        };
        // RFC 8594 and RFC 9745: a thing is not gone before it is deprecated.
        if let (Some(text), Some(sunset)) = (&form.sunset, sunset)
            && sunset < since
        {
            scope.checked.at(text.referenced, format_args!("the sunset is before {since}, the day of deprecation"));
        }
        let replacement = form.replacement.as_ref().and_then(|name| name.value.parse().ok());
        Some(Deprecation { since, sunset, replacement })
    });
    let source = scope.checked.parse(&contract.source.name);
    let relation: Option<Relation> = scope.checked.parse(&contract.source.relation);

    Some(Dataset {
        name: name?,
        family: contract.family,
        title: contract.title.clone(),
        description: contract.description.trim().to_owned(),
        owner: contract.owner.clone(),
        source: source?,
        relation: relation?,
        primary_key,
        default_order,
        time,
        point_in_time,
        bars,
        columns,
        relations,
        sla: contract.sla.clone(),
        checks,
        lineage: Lineage { derived_from, description: contract.lineage.description.trim().to_owned() },
        deprecation,
        cache: contract.cache.clone(),
        versions: contract.versions.clone(),
        contract: hash(text),
        by_name,
    })
}

fn hash(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn columns(forms: &Spanned<Vec<ColumnForm>>, checked: &mut Checked<'_>) -> Vec<Column> {
    if forms.value.is_empty() || forms.value.len() > COLUMNS_MAX {
        checked.at(forms.referenced, format_args!("expected 1 to {COLUMNS_MAX} columns"));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(forms.value.len());
    for form in &forms.value {
        let name: Option<Name> = checked.parse(&form.name);
        let data_type: Option<Type> = checked.parse(&form.data_type);
        let (Some(name), Some(data_type)) = (name, data_type) else { continue };
        if RESERVED.contains(&name.as_str()) {
            checked
                .at(form.name.referenced, format_args!("{name} is the name of a request parameter: expected another"));
        }
        if columns.iter().any(|column| column.name == name) {
            checked.at(form.name.referenced, format_args!("a second column {name}"));
            continue;
        }
        for operator in form.filter.iter().filter(|operator| !operator.value.fits(data_type)) {
            let operator_name = operator.value.as_str();
            checked.at(operator.referenced, format_args!("filter {operator_name} has no meaning on {data_type}"));
        }
        for function in form.aggregate.iter().filter(|function| !function.value.fits(data_type)) {
            let function_name = function.value.as_str();
            checked.at(function.referenced, format_args!("aggregate {function_name} has no meaning on {data_type}"));
        }
        let sort = form.sort.as_ref().is_some_and(|sort| sort.value);
        if let Some(place) = form.sort.as_ref().filter(|_| sort && !data_type.is_ordered()) {
            checked.at(place.referenced, format_args!("{data_type} has no order"));
        }
        let searchable = form.searchable.as_ref().is_some_and(|searchable| searchable.value);
        if let Some(place) = form.searchable.as_ref().filter(|_| searchable && data_type != Type::String) {
            checked.at(place.referenced, format_args!("{name} is {data_type}: only a string is searchable"));
        }
        if !form.aggregate.is_empty() && name.as_str().len() > AGGREGATED_BYTES_MAX {
            checked.at(
                form.name.referenced,
                format_args!("{name} is aggregated: expected a name of at most {AGGREGATED_BYTES_MAX} bytes"),
            );
        }
        columns.push(Column {
            name,
            data_type,
            nullable: form.nullable,
            unit: form.unit.clone(),
            description: form.description.trim().to_owned(),
            example: form.example.as_ref().map(|example| example.value.clone()),
            filter: form.filter.iter().map(|operator| operator.value).collect(),
            sort,
            aggregate: form.aggregate.iter().map(|function| function.value).collect(),
            searchable,
        });
    }
    columns
}

/// The columns that one contract may refer to.
struct Scope<'a, 'f> {
    columns: &'a [Column],
    by_name: &'a HashMap<Name, ColumnIndex>,
    checked: &'a mut Checked<'f>,
}

impl Scope<'_, '_> {
    fn one(&mut self, text: &Text) -> Option<ColumnIndex> {
        let found = self.by_name.get(text.value.as_str()).copied();
        if found.is_none() {
            let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            let expected = format!("no column {:?}: expected one of {}", text.value, names.join(", "));
            self.checked.at(text.referenced, expected);
        }
        found
    }

    fn all(&mut self, texts: &[Text]) -> Vec<ColumnIndex> {
        texts.iter().filter_map(|text| self.one(text)).collect()
    }

    fn order(&mut self, texts: &[Text]) -> Vec<(ColumnIndex, Direction)> {
        let mut order = Vec::with_capacity(texts.len());
        for text in texts {
            let (direction, name) = match text.value.strip_prefix('-') {
                Some(name) => (Direction::Descending, name),
                None => (Direction::Ascending, text.value.as_str()),
            };
            let name = Spanned::new(name.to_owned(), text.referenced, text.defined);
            let Some(index) = self.one(&name) else { continue };
            if !self.columns[index].data_type.is_ordered() {
                let data_type = self.columns[index].data_type;
                self.checked.at(text.referenced, format_args!("{data_type} has no order"));
            }
            order.push((index, direction));
        }
        order
    }

    /// A date or timestamp without nulls, since windows and revisions hang on it.
    fn instant(&mut self, text: &Text) -> Option<ColumnIndex> {
        let index = self.one(text)?;
        let column = &self.columns[index];
        if !matches!(column.data_type, Type::Date | Type::Timestamp) {
            let data_type = column.data_type;
            self.checked
                .at(text.referenced, format_args!("{} is {data_type}: expected a date or timestamp", column.name));
        } else if column.nullable {
            self.checked
                .at(text.referenced, format_args!("{} may be null: expected a column that is never", column.name));
        }
        Some(index)
    }

    /// Every column must allow the function that makes it in a longer bar.
    fn bars(&mut self, form: &BarsForm, timed: bool) -> Option<Bars> {
        if !timed {
            self.checked.at(form.open.referenced, "bars need a time column in the primary key");
        }
        let parts = [
            (Some(&form.open), Function::First),
            (Some(&form.high), Function::Max),
            (Some(&form.low), Function::Min),
            (Some(&form.close), Function::Last),
            (form.volume.as_ref(), Function::Sum),
        ];
        let mut found = Vec::with_capacity(parts.len());
        for (text, function) in parts.into_iter().filter_map(|(text, function)| Some((text?, function))) {
            let index = self.one(text)?;
            if !self.columns[index].aggregate.contains(&function) {
                let function = function.as_str();
                self.checked.at(text.referenced, format_args!("{:?} must allow aggregate {function}", text.value));
            }
            found.push(index);
        }
        let (&[open, high, low, close], volume) = found.split_first_chunk::<4>()?;
        Some(Bars { open, high, low, close, volume: volume.first().copied() })
    }

    /// Cursors carry keys: they have an order and no null.
    fn key(&mut self, index: ColumnIndex, text: &Text) {
        let column = &self.columns[index];
        if column.nullable {
            self.checked.at(text.referenced, format_args!("{} may be null: a key may not", column.name));
        }
        if !column.data_type.is_ordered() || column.data_type == Type::Float64 {
            let data_type = column.data_type;
            self.checked
                .at(text.referenced, format_args!("{} is {data_type}, which is no type for a key", column.name));
        }
    }

    fn check(&mut self, form: &Spanned<CheckForm>) -> Option<Check> {
        let CheckForm { not_null, unique, range, row_count, freshness } = &form.value;
        let mut checks = Vec::new();
        checks.extend(not_null.as_ref().map(|columns| Check::NotNull(self.all(columns))));
        checks.extend(unique.as_ref().map(|columns| Check::Unique(self.all(columns))));
        if let Some(range) = range {
            let column = self.one(&range.column)?;
            checks.push(Check::Range { column, min: range.min.clone(), max: range.max.clone() });
        }
        checks.extend(row_count.as_ref().map(|count| Check::RowCount { min: count.min, max: count.max }));
        if let Some(freshness) = freshness {
            let column = self.instant(&freshness.column)?;
            checks.push(Check::Freshness { column, max_age: freshness.max_age });
        }
        if checks.len() != 1 {
            let expected = "expected exactly one of not_null, unique, range, row_count, freshness";
            self.checked.at(form.referenced, expected);
        }
        checks.pop()
    }
}
