//! Reads `manifest.json` of a sample: what was done, when, and what the host answered. A sample is
//! untrusted, so everything in it is bounded and checked before use.

use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::Path;
use vhdx_rct::ByteRange;

/// The objects of a manifest and their members, as `collect.ps1` writes them: no member may be
/// missing, and no other is accepted.
pub const SCHEMA: &[(&str, &[&str])] = &[
    ("manifest", &["format", "version", "origin", "windows", "cases", "errors"]),
    ("case", &["name", "disk", "size", "sector", "events", "answers", "files"]),
    ("event", &["kind", "at", "offset", "length", "id", "newer"]),
    ("answer", &["method", "since", "target", "error", "processed", "offsets", "lengths"]),
    ("file", &["name", "stored", "length", "sha256", "parts"]),
    ("part", &["offset", "length"]),
    ("error", &["scenario", "step", "message"]),
];

const FORMAT: &str = "vhdx-rct field sample";
const VERSION: u64 = 1;

/// The maximum size of a manifest, and length of a list in it; a host's answer may have
/// more ranges than other lists have items.
pub(crate) const MAX_BYTES: u64 = 64 << 20;
const MAX_ITEMS: usize = 1024;
const MAX_RANGES: usize = 1 << 20;
const MAX_TEXT: usize = 4096;

/// The origin of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Origin {
    /// Made by a Hyper-V host: evidence.
    HyperV,
    /// Made by hand to test the check itself: not evidence.
    HandMade,
}

pub(crate) struct Manifest {
    pub origin: Origin,
    pub windows: String,
    pub cases: Vec<CaseEntry>,
    pub failed_steps: Vec<FailedStep>,
}

/// A step that failed on the host.
pub(crate) struct FailedStep {
    /// A sentence.
    pub text: String,
    /// True if it left a file missing from the sample.
    pub is_packing: bool,
}

pub(crate) struct CaseEntry {
    pub name: String,
    pub disk: String,
    pub size: u64,
    pub sector: u64,
    pub events: Vec<Event>,
    pub answers: Vec<Answer>,
    pub files: Vec<FileEntry>,
}

/// Something that was done or seen, in order.
pub(crate) struct Event {
    pub kind: String,
    pub range: Option<ByteRange>,
    pub id: Option<String>,
}

/// The host's answer since an id, or its refusal.
pub(crate) struct Answer {
    pub method: String,
    pub since: String,
    pub target: Option<String>,
    pub error: Option<String>,
    pub processed: u64,
    pub ranges: Vec<ByteRange>,
}

pub(crate) struct FileEntry {
    pub name: String,
    pub stored: String,
    pub length: u64,
    pub parts: Vec<ByteRange>,
}

/// The rule that a manifest breaks, in a sentence with the place.
struct Broken(String);

type Parsed<T> = std::result::Result<T, Broken>;

/// An object of the manifest, and its place in it.
struct Object<'a> {
    members: &'a Map<String, Value>,
    place: String,
}

impl<'a> Object<'a> {
    fn new(value: &'a Value, kind: &str, place: String) -> Parsed<Self> {
        let Some(members) = value.as_object() else {
            return Err(bad(&place, "expected an object"));
        };
        let known =
            SCHEMA.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, names)| names);
        if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(bad(&place, &format!("unknown member {}", name.escape_debug())));
        }
        if let Some(name) = known.iter().find(|name| !members.contains_key(**name)) {
            return Err(bad(&place, &format!("missing member {name}")));
        }
        Ok(Object { members, place })
    }

    fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }

    fn text(&self, name: &str) -> Parsed<Option<String>> {
        match &self.members[name] {
            Value::Null => Ok(None),
            Value::String(text) if text.len() <= MAX_TEXT => Ok(Some(text.clone())),
            _ => Err(bad(&self.at(name), "expected a text of at most 4 KiB")),
        }
    }

    fn some_text(&self, name: &str) -> Parsed<String> {
        self.text(name)?.ok_or_else(|| bad(&self.at(name), "expected a text, found null"))
    }

    fn number(&self, name: &str) -> Parsed<Option<u64>> {
        match &self.members[name] {
            Value::Null => Ok(None),
            value => match value.as_u64() {
                None => Err(bad(&self.at(name), "expected a whole number, 0 or more")),
                number => Ok(number),
            },
        }
    }

    fn some_number(&self, name: &str) -> Parsed<u64> {
        self.number(name)?.ok_or_else(|| bad(&self.at(name), "expected a number, found null"))
    }

    fn list(&self, name: &str, most: usize) -> Parsed<&'a [Value]> {
        match &self.members[name] {
            Value::Array(items) if items.len() <= most => Ok(items),
            Value::Array(items) => {
                let what = format!("expected at most {most} items, found {}", items.len());
                Err(bad(&self.at(name), &what))
            }
            _ => Err(bad(&self.at(name), "expected a list")),
        }
    }

    /// A list of objects, each read by `read`.
    fn objects<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl Fn(&Object<'a>) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let items = self.list(name, MAX_ITEMS)?.iter().enumerate();
        items
            .map(|(i, item)| read(&Object::new(item, kind, format!("{}[{i}]", self.at(name)))?))
            .collect()
    }

    fn numbers(&self, name: &str) -> Parsed<Vec<u64>> {
        let whole = |value: &Value| {
            value.as_u64().ok_or_else(|| bad(&self.at(name), "expected a list of whole numbers"))
        };
        self.list(name, MAX_RANGES)?.iter().map(whole).collect()
    }
}

fn bad(place: &str, what: &str) -> Broken {
    Broken(format!("{place}: {what}; the sample cannot be used"))
}

impl Manifest {
    /// Reads a manifest; errors name `path`.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::read(bytes).map_err(|Broken(message)| Error::invalid(path, message))
    }

    fn read(bytes: &[u8]) -> Parsed<Self> {
        let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| bad("the manifest", &format!("not valid JSON: {error}")))?;
        let object = Object::new(&value, "manifest", "the manifest".into())?;
        let (format, version) = (object.some_text("format")?, object.some_number("version")?);
        if format != FORMAT || version != VERSION {
            let found = format!("expected the format \"{FORMAT}\", version {VERSION}");
            return Err(bad("the manifest", &found));
        }
        let origin = match object.some_text("origin")?.as_str() {
            "hyper-v" => Origin::HyperV,
            "hand-made" => Origin::HandMade,
            _ => return Err(bad(&object.at("origin"), "expected hyper-v or hand-made")),
        };
        let cases = object.objects("cases", "case", case)?;
        verify_unique(&object.at("cases"), cases.iter().map(|case| &case.name))?;
        Ok(Manifest {
            origin,
            windows: printable(&object.some_text("windows")?),
            cases,
            failed_steps: object.objects("errors", "error", failed_step)?,
        })
    }
}

/// Verifies that no two names differ only in case.
fn verify_unique<'a>(place: &str, mut names: impl Iterator<Item = &'a String>) -> Parsed<()> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(name.to_ascii_lowercase())) {
        Some(name) => Err(bad(place, &format!("names {name} twice"))),
        None => Ok(()),
    }
}

fn failed_step(object: &Object) -> Parsed<FailedStep> {
    let of = |name| Ok::<_, Broken>(printable(&object.some_text(name)?));
    let step = of("step")?;
    Ok(FailedStep {
        text: format!("{}, {step}: {}", of("scenario")?, of("message")?),
        is_packing: step.starts_with("pack "),
    })
}

fn case(object: &Object) -> Parsed<CaseEntry> {
    let files = object.objects("files", "file", file)?;
    verify_unique(&object.at("files"), files.iter().map(|file| &file.name))?;
    Ok(CaseEntry {
        name: plain(object, "name")?,
        disk: plain(object, "disk")?,
        size: object.some_number("size")?,
        sector: object.some_number("sector")?,
        events: object.objects("events", "event", event)?,
        answers: object.objects("answers", "answer", answer)?,
        files,
    })
}

fn event(object: &Object) -> Parsed<Event> {
    object.text("at")?;
    let range = match (object.number("offset")?, object.number("length")?) {
        (Some(offset), Some(length)) => Some(range(object, offset, length)?),
        _ => None,
    };
    Ok(Event { kind: object.some_text("kind")?, range, id: object.text("id")? })
}

fn answer(object: &Object) -> Parsed<Answer> {
    let (offsets, lengths) = (object.numbers("offsets")?, object.numbers("lengths")?);
    if offsets.len() != lengths.len() {
        return Err(bad(&object.place, "expected as many offsets as lengths"));
    }
    let ranges = offsets.into_iter().zip(lengths);
    let ranges = ranges.map(|(offset, length)| range(object, offset, length));
    Ok(Answer {
        method: printable(&object.some_text("method")?),
        since: object.some_text("since")?,
        target: object.text("target")?.filter(|text| !text.is_empty()),
        error: object.text("error")?.map(|text| printable(&text)),
        processed: object.number("processed")?.unwrap_or(0),
        ranges: ranges.collect::<Parsed<_>>()?,
    })
}

fn file(object: &Object) -> Parsed<FileEntry> {
    object.text("sha256")?;
    let length = object.some_number("length")?;
    let parts = object.objects("parts", "part", |part| {
        range(part, part.some_number("offset")?, part.some_number("length")?)
    })?;
    let mut before = 0;
    for part in &parts {
        if part.offset < before || part.end() > length {
            let what = format!(
                "expected parts that are sorted, do not overlap and end within the file's {length:#x} bytes, found \
                 {:#x} bytes at {:#x}",
                part.length, part.offset
            );
            return Err(bad(&object.place, &what));
        }
        before = part.end();
    }
    Ok(FileEntry { name: plain(object, "name")?, stored: plain(object, "stored")?, length, parts })
}

fn range(object: &Object, offset: u64, length: u64) -> Parsed<ByteRange> {
    match offset.checked_add(length) {
        Some(_) => Ok(ByteRange { offset, length }),
        None => Err(bad(&object.place, "expected ranges that end below 2^64")),
    }
}

/// Returns a name that is a single path component on every operating system: not `..`, absolute,
/// a device or a stream.
fn plain(object: &Object, name: &str) -> Parsed<String> {
    let text = object.some_text(name)?;
    let bad_char = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    if text.is_empty()
        || text.len() > 255
        || text.contains(bad_char)
        || text.ends_with(['.', ' '])
        || is_device(&text)
    {
        let what = format!("expected a plain file name, found \"{}\"", text.escape_debug());
        return Err(bad(&object.at(name), &what));
    }
    Ok(text)
}

/// Returns true if Windows treats the name as a device, regardless of its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str())
        || numbered.is_some_and(|rest| rest.chars().count() == 1)
}

/// Escapes untrusted text for a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
