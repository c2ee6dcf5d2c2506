//! Questions as clients write them: as a URL or as a body, in any of the forms that mean the same.

use martello::catalog::{Filter, Operator};
use martello::query::{
    Comparison, Count, Direction, Expansion, Grouping, Limit, Nulls, Operand, OrderKey, Query, Revision,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::dice::Dice;
use super::question::Question;

/// What a URL may hold as it is (RFC 3986, 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A target and, where the question is posted, a body.
pub struct Wording {
    pub target: String,
    pub body: Option<String>,
}

impl Question {
    /// Writes the question; what may be written in several ways is written by dice.
    pub fn word(&self, dice: &mut Dice) -> Wording {
        let mut writer = Writer { dice, query: &self.query };
        let path = format!("/v1/datasets/{}", self.query.dataset);
        if self.posted {
            let mut members = writer.members();
            if self.numbers_as_text {
                members.push("\"numbers\":\"string\"".to_owned());
            }
            return Wording { target: format!("{path}/query"), body: Some(format!("{{{}}}", members.join(","))) };
        }
        let mut parameters = writer.parameters();
        if self.numbers_as_text {
            parameters.push(("numbers".to_owned(), "string".to_owned()));
        }
        let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let path = match (&self.query.key, &self.query.aggregate) {
            (Some(key), _) => {
                let key: Vec<String> = key.iter().map(|literal| escaped(literal)).collect();
                format!("{path}/rows/{}", key.join("/"))
            }
            (None, None) => format!("{path}/rows"),
            (None, Some(_)) => format!("{path}/aggregate"),
        };
        let pairs: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        let target = if pairs.is_empty() { path } else { format!("{path}?{}", pairs.join("&")) };
        Wording { target, body: None }
    }
}

struct Writer<'w> {
    dice: &'w mut Dice,
    query: &'w Query,
}

impl Writer<'_> {
    // --- The URL ---

    fn parameters(&mut self) -> Vec<(String, String)> {
        let query = self.query;
        let mut parameters: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| parameters.push((name.to_owned(), value));
        for condition in parts(&query.filter) {
            let (name, value) = self.condition(condition);
            add(&name, value);
        }
        if let Some(names) = &query.select {
            add("select", names.join(","));
        }
        if let Some(aggregate) = &query.aggregate {
            match &aggregate.of {
                Grouping::Resample(bucket) => add("resample", bucket.code().to_owned()),
                Grouping::Fields { group_by, measures } => {
                    let groups: Vec<String> = group_by.iter().map(|group| written(query, &group.name())).collect();
                    let measures: Vec<String> =
                        measures.iter().map(|measure| written(query, &measure.name())).collect();
                    if !groups.is_empty() {
                        add("group_by", groups.join(","));
                    }
                    if !measures.is_empty() {
                        add("measures", measures.join(","));
                    }
                }
            }
            if !parts(&aggregate.having).is_empty() {
                add("having", self.items(parts(&aggregate.having), true));
            }
        }
        if let Some(keys) = &query.order {
            let keys: Vec<String> = keys.iter().map(|key| self.order_key(key)).collect();
            add("sort", keys.join(","));
        }
        if !query.expand.is_empty() {
            let expansions: Vec<String> = query.expand.iter().map(|expansion| self.expansion(expansion)).collect();
            add("expand", expansions.join(","));
        }
        if !query.latest_by.is_empty() {
            add("latest_by", query.latest_by.join(","));
        }
        for (name, value) in self.scalars() {
            add(name, value);
        }
        parameters
    }

    /// What is one text in either form.
    fn scalars(&self) -> Vec<(&'static str, String)> {
        let query = self.query;
        let mut scalars: Vec<(&'static str, String)> = Vec::new();
        scalars.extend(query.search.iter().map(|text| ("search", text.clone())));
        scalars.extend(query.as_of.iter().map(|text| ("as_of", text.clone())));
        scalars.extend(query.revision.map(|revision| ("revision", name_of(revision).to_owned())));
        scalars.extend(query.tz.iter().map(|text| ("tz", text.clone())));
        scalars.extend(query.page.cursor.iter().map(|cursor| ("cursor", cursor.0.clone())));
        if query.key.is_none() {
            scalars.extend(query.page.limit.map(|limit| match limit {
                Limit::Rows(rows) => ("limit", rows.to_string()),
                Limit::All => ("limit", "all".to_owned()),
            }));
        }
        if query.count == Count::Exact {
            scalars.push(("count", "exact".to_owned()));
        }
        scalars
    }

    /// A condition as a parameter: lists stand without parentheses there.
    fn condition(&mut self, condition: &Filter) -> (String, String) {
        match condition {
            Filter::Compare(comparison) => {
                let value = match &comparison.operand {
                    Operand::One(literal) => literal.clone(),
                    Operand::Many(literals) => self.list(literals),
                    Operand::Claim(_) => unreachable!("no question has one"),
                };
                (self.compared(comparison), value)
            }
            Filter::Any(parts) => ("or".to_owned(), self.items(parts, false)),
            Filter::All(parts) => ("and".to_owned(), self.items(parts, false)),
            Filter::Not(part) => {
                let (name, value) = self.condition(part);
                (format!("not.{name}"), value)
            }
        }
    }

    /// `(a=1,or(b=2,c=3))`
    fn items(&mut self, parts: &[Filter], of_groups: bool) -> String {
        let items: Vec<String> = parts.iter().map(|part| self.item(part, of_groups)).collect();
        format!("({})", items.join(","))
    }

    fn item(&mut self, part: &Filter, of_groups: bool) -> String {
        match part {
            Filter::Compare(comparison) => {
                let operand = match &comparison.operand {
                    Operand::One(literal) => self.quoted(literal),
                    Operand::Many(literals) => format!("({})", self.list(literals)),
                    Operand::Claim(_) => unreachable!("no question has one"),
                };
                let mut comparison = comparison.clone();
                if of_groups && self.dice.chance(50) {
                    comparison.field = written(self.query, &comparison.field);
                }
                format!("{}={operand}", self.compared(&comparison))
            }
            Filter::Any(parts) => format!("or{}", self.items(parts, of_groups)),
            Filter::All(parts) => format!("and{}", self.items(parts, of_groups)),
            Filter::Not(part) => format!("not.{}", self.item(part, of_groups)),
        }
    }

    /// `field`, where equality needs no operator, or `field.operator`.
    fn compared(&mut self, comparison: &Comparison) -> String {
        if comparison.operator == Operator::Eq && self.dice.chance(50) {
            return comparison.field.clone();
        }
        format!("{}.{}", comparison.field, comparison.operator.as_str())
    }

    fn list(&mut self, literals: &[String]) -> String {
        let items: Vec<String> = literals
            .iter()
            .map(|literal| if literal.is_empty() { "\"\"".to_owned() } else { self.quoted(literal) })
            .collect();
        items.join(",")
    }

    /// In quotes where it must be, and now and then where it need not.
    fn quoted(&mut self, literal: &str) -> String {
        if literal.contains([',', '(', ')', '"']) || self.dice.chance(20) {
            return format!("\"{}\"", literal.replace('"', "\"\""));
        }
        literal.to_owned()
    }

    fn order_key(&mut self, key: &OrderKey) -> String {
        let sign = if key.direction == Direction::Descending { "-" } else { "" };
        let field = if self.dice.chance(50) { written(self.query, &key.field) } else { key.field.clone() };
        let nulls = match key.nulls {
            None => "",
            Some(Nulls::First) => ".nulls_first",
            Some(Nulls::Last) => ".nulls_last",
        };
        format!("{sign}{field}{nulls}")
    }

    fn expansion(&mut self, expansion: &Expansion) -> String {
        let mut arguments: Vec<String> = expansion.select.clone().unwrap_or_default();
        arguments.extend(expansion.limit.map(|limit| format!("limit={limit}")));
        if let Some(keys) = &expansion.order {
            let keys: Vec<String> = keys.iter().map(|key| self.order_key(key)).collect();
            if self.dice.chance(50) {
                arguments.push(format!("sort=({})", keys.join(",")));
            } else {
                arguments.extend(keys.into_iter().map(|key| format!("sort={key}")));
            }
        }
        arguments.extend(parts(&expansion.filter).iter().map(|part| self.item(part, false)));
        let inner: Vec<String> = expansion.expand.iter().map(|inner| self.expansion(inner)).collect();
        match inner.as_slice() {
            [] => {}
            [one] if self.dice.chance(50) => arguments.push(format!("expand={one}")),
            all => arguments.push(format!("expand=({})", all.join(","))),
        }
        if arguments.is_empty() {
            expansion.relation.clone()
        } else {
            format!("{}({})", expansion.relation, arguments.join(","))
        }
    }

    // --- The body ---

    fn members(&mut self) -> Vec<String> {
        let query = self.query;
        let mut members = Vec::new();
        let mut add = |name: &str, value: String| members.push(format!("\"{name}\":{value}"));
        if !parts(&query.filter).is_empty() {
            add("filter", self.conditions(parts(&query.filter), false));
        }
        if let Some(names) = &query.select {
            add("select", texts(names));
        }
        if let Some(aggregate) = &query.aggregate {
            match &aggregate.of {
                Grouping::Resample(bucket) => add("resample", text(bucket.code())),
                Grouping::Fields { group_by, measures } => {
                    let groups: Vec<String> = group_by.iter().map(|group| written(query, &group.name())).collect();
                    let measures: Vec<String> =
                        measures.iter().map(|measure| written(query, &measure.name())).collect();
                    if !groups.is_empty() {
                        add("group_by", texts(&groups));
                    }
                    if !measures.is_empty() {
                        add("measures", texts(&measures));
                    }
                }
            }
            if !parts(&aggregate.having).is_empty() {
                add("having", self.conditions(parts(&aggregate.having), true));
            }
        }
        if let Some(keys) = &query.order {
            let keys: Vec<String> = keys.iter().map(|key| self.order_key(key)).collect();
            add("sort", texts(&keys));
        }
        if !query.expand.is_empty() {
            add("expand", self.expansions(&query.expand));
        }
        if !query.latest_by.is_empty() {
            add("latest_by", texts(&query.latest_by));
        }
        for (name, value) in self.scalars() {
            add(name, if name == "limit" { value } else { text(&value) });
        }
        members
    }

    /// The members of one object, where no name is there twice; a list of objects otherwise.
    fn conditions(&mut self, parts: &[Filter], of_groups: bool) -> String {
        let members: Vec<String> = parts.iter().map(|part| self.member(part, of_groups)).collect();
        let name = |member: &String| member.split_once("\":").map(|(name, _)| name.to_owned());
        let mut names: Vec<_> = members.iter().map(name).collect();
        names.sort();
        names.dedup();
        if names.len() == members.len() {
            return format!("{{{}}}", members.join(","));
        }
        let objects: Vec<String> = members.iter().map(|member| format!("{{{member}}}")).collect();
        format!("{{\"and\":[{}]}}", objects.join(","))
    }

    fn member(&mut self, part: &Filter, of_groups: bool) -> String {
        match part {
            Filter::Compare(comparison) => {
                let of_measure = of_groups && self.dice.chance(50);
                let field = if of_measure { written(self.query, &comparison.field) } else { comparison.field.clone() };
                let operand = match &comparison.operand {
                    Operand::One(literal) => self.scalar(literal),
                    Operand::Many(literals) => {
                        let literals: Vec<String> = literals.iter().map(|literal| self.scalar(literal)).collect();
                        format!("[{}]", literals.join(","))
                    }
                    Operand::Claim(_) => unreachable!("no question has one"),
                };
                if comparison.operator == Operator::Eq && self.dice.chance(50) {
                    return format!("{}:{operand}", text(&field));
                }
                format!("{}:{{\"{}\":{operand}}}", text(&field), comparison.operator.as_str())
            }
            Filter::Any(parts) => format!("\"or\":{}", self.objects(parts, of_groups)),
            Filter::All(parts) => format!("\"and\":{}", self.objects(parts, of_groups)),
            Filter::Not(part) => format!("\"not\":{{{}}}", self.member(part, of_groups)),
        }
    }

    fn objects(&mut self, parts: &[Filter], of_groups: bool) -> String {
        let objects: Vec<String> = parts.iter().map(|part| format!("{{{}}}", self.member(part, of_groups))).collect();
        format!("[{}]", objects.join(","))
    }

    /// A literal as a text, or as the number or flag that it is.
    fn scalar(&mut self, literal: &str) -> String {
        let number = serde_json::from_str::<serde_json::Number>(literal).is_ok() && literal.trim() == literal;
        let bare = literal == "true" || literal == "false" || number;
        if bare && self.dice.chance(50) { literal.to_owned() } else { text(literal) }
    }

    fn expansions(&mut self, expansions: &[Expansion]) -> String {
        let members: Vec<String> = expansions
            .iter()
            .map(|expansion| {
                let mut members = Vec::new();
                members.extend(expansion.select.as_deref().map(|names| format!("\"select\":{}", texts(names))));
                members.extend(expansion.limit.map(|limit| format!("\"limit\":{limit}")));
                if let Some(keys) = &expansion.order {
                    let keys: Vec<String> = keys.iter().map(|key| self.order_key(key)).collect();
                    members.push(format!("\"sort\":{}", texts(&keys)));
                }
                if !parts(&expansion.filter).is_empty() {
                    members.push(format!("\"filter\":{}", self.conditions(parts(&expansion.filter), false)));
                }
                if !expansion.expand.is_empty() {
                    members.push(format!("\"expand\":{}", self.expansions(&expansion.expand)));
                }
                format!("\"{}\":{{{}}}", expansion.relation, members.join(","))
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

/// The conditions of a question: all of them must hold.
fn parts(filter: &Filter) -> &[Filter] {
    match filter {
        Filter::All(parts) => parts,
        _ => std::slice::from_ref(filter),
    }
}

/// `avg(close)` for `avg_close` and `date:month` for `date_month`; any other name is itself.
fn written(query: &Query, name: &str) -> String {
    let Some(Grouping::Fields { group_by, measures }) = query.aggregate.as_ref().map(|aggregate| &aggregate.of) else {
        return name.to_owned();
    };
    let groups = group_by.iter().filter(|group| group.name() == name).map(|group| match group.bucket {
        Some(bucket) => format!("{}:{}", group.field, bucket.as_str()),
        None => group.field.clone(),
    });
    let measures = measures
        .iter()
        .filter(|measure| measure.name() == name)
        .map(|measure| format!("{}({})", measure.function.as_str(), measure.field.as_deref().unwrap_or_default()));
    groups.chain(measures).next().unwrap_or_else(|| name.to_owned())
}

fn name_of(revision: Revision) -> &'static str {
    let found = Revision::ALL.into_iter().find(|(_, other)| *other == revision);
    found.map(|(name, _)| name).expect("every choice has a name")
}

fn text(text: &str) -> String {
    serde_json::to_string(text).expect("JSON")
}

fn texts(items: &[String]) -> String {
    serde_json::to_string(items).expect("JSON")
}
