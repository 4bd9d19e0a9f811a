//! The values that expressions work on: JSON, with the size and depth of every array and object kept beside it, so that
//! a value that has become too large or too deep is refused the moment it is made.
//!
//! Sharing is cheap and counted in full: `[., .]` twice as large as `.`, whatever it costs in memory. So no operation on
//! a value can meet more than [`VALUE_BYTES`] of it.

mod arithmetic;

use super::meter::{self, Limit, VALUE_BYTES, VALUE_DEPTH, pay};
use indexmap::IndexMap;
use jaq_core::{
    Error, ValR, ValX,
    box_iter::{BoxIter, box_once},
    path::Opt,
    val::Range,
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use std::{cmp::Ordering, fmt, sync::Arc};

/// A text, shared.
pub(in crate::expression) type Text = Arc<String>;
type Members = IndexMap<Text, Val>;

/// A JSON value. Integers that fit 64 bits with a sign are kept exactly.
#[derive(Clone, Debug, Default)]
pub(in crate::expression) enum Val {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `1.5`
    Float(f64),
    /// `"a"`
    Str(Text),
    /// `[…]`
    Arr(Arc<Arr>),
    /// `{…}`, in the order in which keys were added.
    Obj(Arc<Obj>),
}

/// Bytes as JSON (about), and levels.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::expression) struct Size {
    bytes: u64,
    depth: u32,
}

impl Size {
    /// Takes a child in.
    fn grow(&mut self, child: Self) {
        self.bytes = self.bytes.saturating_add(child.bytes + 1);
        self.depth = self.depth.max(child.depth + 1);
    }
    /// Whether a value may be this large; marks the run if not.
    pub(in crate::expression) fn allowed(self) -> bool {
        if self.bytes > VALUE_BYTES {
            meter::exceed(Limit::Size);
        } else if self.depth > VALUE_DEPTH {
            meter::exceed(Limit::Depth);
        } else {
            return true;
        }
        false
    }
}

/// An array.
#[derive(Clone, Debug, Default)]
pub(in crate::expression) struct Arr {
    size: Size,
    pub(in crate::expression) items: Vec<Val>,
}

/// An object.
#[derive(Clone, Debug, Default)]
pub(in crate::expression) struct Obj {
    size: Size,
    pub(in crate::expression) members: Members,
}

impl Arr {
    fn measured(items: Vec<Val>) -> Self {
        let mut size = Size { bytes: 2, depth: 1 };
        items.iter().for_each(|v| size.grow(v.size()));
        Self { size, items }
    }
}

impl Obj {
    fn measured(members: Members) -> Self {
        let mut size = Size { bytes: 2, depth: 1 };
        for (k, v) in &members {
            size.grow(v.size());
            size.bytes += k.len() as u64 + 3;
        }
        Self { size, members }
    }
    /// Adds or replaces a member. Never makes the noted depth smaller.
    fn put(&mut self, key: Text, value: Val) {
        self.size.bytes += key.len() as u64 + 3;
        self.size.grow(value.size());
        let length = key.len() as u64;
        if let Some(old) = self.members.insert(key, value) {
            self.size.bytes = self.size.bytes.saturating_sub(old.size().bytes + 1 + length + 3);
        }
    }
}

/// The error of an operation that did not happen because the run is over its limit. Never seen: the limit is.
fn over() -> Error<Val> {
    Error::new(Val::Null)
}

impl Val {
    /// About how large it is.
    pub(in crate::expression) fn size(&self) -> Size {
        match self {
            Self::Null | Self::Bool(_) => Size { bytes: 5, depth: 0 },
            Self::Int(_) | Self::Float(_) => Size { bytes: 8, depth: 0 },
            Self::Str(s) => Size { bytes: s.len() as u64 + 2, depth: 0 },
            Self::Arr(a) => a.size,
            Self::Obj(o) => o.size,
        }
    }
    /// Units of work to look at all of it.
    pub(in crate::expression) fn work(&self) -> u64 {
        1 + self.size().bytes / 32
    }
    /// A text.
    pub(in crate::expression) fn text(s: impl Into<String>) -> Self {
        let s = s.into();
        let fits = Size { bytes: s.len() as u64, depth: 0 }.allowed();
        if pay(1 + s.len() as u64 / 64) && fits { Self::Str(Arc::new(s)) } else { Self::Null }
    }
    /// An array.
    pub(in crate::expression) fn array(items: Vec<Val>) -> ValR<Self> {
        let arr = Arr::measured(items);
        if pay(1 + arr.items.len() as u64 / 2) && arr.size.allowed() {
            Ok(Self::Arr(Arc::new(arr)))
        } else {
            Err(over())
        }
    }
    /// An object.
    pub(in crate::expression) fn object(members: Members) -> ValR<Self> {
        let obj = Obj::measured(members);
        if pay(1 + obj.members.len() as u64) && obj.size.allowed() { Ok(Self::Obj(Arc::new(obj))) } else { Err(over()) }
    }
    /// What it is, for messages. Never what is in it: that may be somebody's data.
    pub(in crate::expression) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Float(_) => "number",
            Self::Str(_) => "string",
            Self::Arr(_) => "array",
            Self::Obj(_) => "object",
        }
    }
    /// Written as JSON.
    pub(in crate::expression) fn to_json(&self) -> String {
        // Writing to memory a value whose keys are all texts does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }
    /// The error of having one thing where another is needed.
    pub(in crate::expression) fn mistaken(self, what: &'static str) -> Error<Self> {
        Error::typ(self, what)
    }
    /// As a number for arithmetic.
    pub(in crate::expression) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            _ => None,
        }
    }
    /// A whole number, rounded down.
    pub(in crate::expression) fn as_index(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            // Saturates, as positions should.
            Self::Float(f) if !f.is_nan() => Some(f.floor() as i64),
            _ => None,
        }
    }
    /// Its text, if it is one.
    pub(in crate::expression) fn as_text(&self) -> Option<&Text> {
        match self {
            Self::Str(s) => Some(s),
            _ => None,
        }
    }
    fn order(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Int(_) | Self::Float(_) => 3,
            Self::Str(_) => 4,
            Self::Arr(_) => 5,
            Self::Obj(_) => 6,
        }
    }
    /// What `.[k]` looks up; absent and null are the same.
    fn member(&self, key: &Self) -> ValR<Self> {
        Ok(match (self, key) {
            (Self::Null, Self::Null | Self::Str(_) | Self::Int(_) | Self::Float(_)) => Self::Null,
            (Self::Obj(o), Self::Str(k)) => o.members.get(k).cloned().unwrap_or_default(),
            (Self::Arr(a), Self::Int(_) | Self::Float(_)) => {
                key.as_index().and_then(|i| position(i, a.items.len())).map(|i| a.items[i].clone()).unwrap_or_default()
            }
            _ => return Err(Error::index(self.clone(), key.clone())),
        })
    }
}

/// A position counted from the start, or from the end if negative.
fn position(i: i64, length: usize) -> Option<usize> {
    let i = if i < 0 { i.checked_add(i64::try_from(length).ok()?)? } else { i };
    usize::try_from(i).ok().filter(|i| *i < length)
}

/// The bounds of a slice of `length` things.
fn bounds(range: Range<&Val>, length: usize) -> ValR<(usize, usize), Val> {
    let bound = |at: Option<&Val>, absent: usize| match at {
        None | Some(Val::Null) => Ok(absent),
        Some(v) => {
            let i = v.as_index().ok_or_else(|| v.clone().mistaken("number"))?;
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            let i = if i < 0 { i.saturating_add(length) } else { i };
            Ok(usize::try_from(i.clamp(0, length)).unwrap_or(0))
        }
    };
    let (from, upto) = (bound(range.start, 0)?, bound(range.end, length)?);
    Ok((from, upto.max(from)))
}

/// The items of an array, one unit of work each.
struct Items(Arc<Arr>, usize);

impl Iterator for Items {
    type Item = ValR<Val>;
    fn next(&mut self) -> Option<Self::Item> {
        let item = self.0.items.get(self.1)?;
        self.1 += 1;
        pay(1).then(|| Ok(item.clone()))
    }
}

/// The members of an object, one unit of work each.
struct Pairs(Arc<Obj>, usize);

impl Iterator for Pairs {
    type Item = ValR<(Val, Val), Val>;
    fn next(&mut self) -> Option<Self::Item> {
        let (k, v) = self.0.members.get_index(self.1)?;
        self.1 += 1;
        pay(1).then(|| Ok((Val::Str(k.clone()), v.clone())))
    }
}

impl jaq_core::ValT for Val {
    fn from_num(n: &str) -> ValR<Self> {
        match n.parse::<i64>() {
            Ok(i) => Ok(Self::Int(i)),
            Err(_) => n.parse().map(Self::Float).map_err(|_| Error::str("not a number")),
        }
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(iter: I) -> ValR<Self> {
        let mut members = Members::default();
        for (k, v) in iter {
            let Self::Str(k) = k else { return Err(k.mistaken("key of an object")) };
            members.insert(k, v);
        }
        Self::object(members)
    }

    fn key_values(self) -> BoxIter<'static, ValR<(Self, Self), Self>> {
        match self {
            Self::Arr(a) => Box::new(
                Items(a, 0).enumerate().map(|(i, v)| Ok((Self::Int(i64::try_from(i).unwrap_or(i64::MAX)), v?))),
            ),
            Self::Obj(o) => Box::new(Pairs(o, 0)),
            v => box_once(Err(v.mistaken("array or object"))),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        match self {
            Self::Arr(a) => Box::new(Items(a, 0)),
            Self::Obj(o) => Box::new(Pairs(o, 0).map(|pair| pair.map(|(_, v)| v))),
            v => box_once(Err(v.mistaken("array or object"))),
        }
    }

    fn index(self, index: &Self) -> ValR<Self> {
        self.member(index)
    }

    fn range(self, range: Range<&Self>) -> ValR<Self> {
        match self {
            Self::Null => Ok(Self::Null),
            Self::Arr(a) => {
                let (from, upto) = bounds(range, a.items.len())?;
                if !pay(1 + (upto - from) as u64 / 2) {
                    return Err(over());
                }
                Self::array(a.items[from..upto].to_vec())
            }
            Self::Str(s) => {
                if !pay(1 + s.len() as u64 / 16) {
                    return Err(over());
                }
                let (from, upto) = bounds(range, s.chars().count())?;
                Ok(Self::text(s.chars().skip(from).take(upto - from).collect::<String>()))
            }
            v => Err(v.mistaken("array or string")),
        }
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        match self {
            Self::Arr(a) => {
                let mut items = Vec::with_capacity(a.items.len());
                for item in Items(a, 0) {
                    for new in f(item?) {
                        items.push(new?);
                    }
                }
                Ok(Self::array(items)?)
            }
            Self::Obj(o) => {
                let mut members = Members::with_capacity(o.members.len());
                for pair in Pairs(o, 0) {
                    let (k, v) = pair?;
                    if let (Self::Str(k), Some(new)) = (k, f(v).next()) {
                        members.insert(k, new?);
                    }
                }
                Ok(Self::object(members)?)
            }
            v => opt.fail(v, |v| v.mistaken("array or object").into()),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        let old = match (&self, index) {
            (Self::Null | Self::Obj(_), Self::Str(_)) => self.member(index)?,
            (Self::Null | Self::Arr(_), Self::Int(_) | Self::Float(_)) => self.member(index)?,
            _ => return opt.fail(self, |v| Error::index(v, index.clone()).into()),
        };
        let new = f(old).next().transpose()?;
        match (self, index) {
            (v @ (Self::Arr(_) | Self::Null), Self::Int(_) | Self::Float(_)) => {
                let mut items = if let Self::Arr(a) = v { Arc::unwrap_or_clone(a).items } else { Vec::new() };
                let i = index.as_index().unwrap_or(0);
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let Ok(i) = usize::try_from(if i < 0 { i.saturating_add(length) } else { i }) else {
                    return Err(Error::str("there is no such position in the array").into());
                };
                // A position after the end makes the array longer, so it is paid for as well.
                if !pay(1 + (items.len().max(i)) as u64 / 4) {
                    return Err(over().into());
                }
                match new {
                    Some(new) => {
                        if i >= items.len() {
                            items.resize(i + 1, Self::Null);
                        }
                        items[i] = new;
                    }
                    None if i < items.len() => drop(items.remove(i)),
                    None => {}
                }
                Ok(Self::array(items)?)
            }
            (v, Self::Str(key)) => {
                let mut o = if let Self::Obj(o) = v { o } else { Arc::default() };
                let copied = if Arc::get_mut(&mut o).is_some() { 0 } else { o.members.len() as u64 };
                if !pay(1 + copied) {
                    return Err(over().into());
                }
                let obj = Arc::make_mut(&mut o);
                match new {
                    Some(new) => obj.put(key.clone(), new),
                    None => {
                        if !pay(obj.members.len() as u64) {
                            return Err(over().into());
                        }
                        obj.members.shift_remove(key);
                    }
                }
                if obj.size.allowed() { Ok(Self::Obj(o)) } else { Err(over().into()) }
            }
            (v, _) => Ok(v),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        let Self::Arr(a) = self else { return opt.fail(self, |v| v.mistaken("array").into()) };
        let (from, upto) = bounds(range, a.items.len())?;
        let middle = Self::array(a.items[from..upto].to_vec())?;
        let new = match f(middle).next().transpose()? {
            None => Vec::new(),
            Some(Self::Arr(new)) => Arc::unwrap_or_clone(new).items,
            Some(v) => return Err(v.mistaken("array").into()),
        };
        let mut items = a.items[..from].to_vec();
        items.extend(new);
        items.extend_from_slice(&a.items[upto..]);
        Ok(Self::array(items)?)
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        match self {
            Self::Str(_) => self,
            v if pay(v.work()) => Self::text(v.to_json()),
            _ => Self::Null,
        }
    }
}

impl From<bool> for Val {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<isize> for Val {
    fn from(i: isize) -> Self {
        Self::Int(i as i64)
    }
}

impl From<String> for Val {
    fn from(s: String) -> Self {
        Self::text(s)
    }
}

impl From<Range<Val>> for Val {
    fn from(r: Range<Val>) -> Self {
        let ends = [("start", r.start), ("end", r.end)];
        let members = ends.into_iter().filter_map(|(k, v)| Some((Arc::new(k.to_owned()), v?))).collect();
        Self::object(members).unwrap_or_default()
    }
}

impl FromIterator<Self> for Val {
    fn from_iter<T: IntoIterator<Item = Self>>(iter: T) -> Self {
        // Pays as it goes, so that a sequence without end ends.
        let items = iter.into_iter().take_while(|_| pay(1)).collect();
        Self::array(items).unwrap_or_default()
    }
}

impl Ord for Val {
    fn cmp(&self, other: &Self) -> Ordering {
        pay(1 + self.size().bytes.min(other.size().bytes) / 64);
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::Arr(a), Self::Arr(b)) => a.items.cmp(&b.items),
            (Self::Obj(a), Self::Obj(b)) => {
                // First the sets of keys, then the values key by key.
                let sorted = |o: &Arc<Obj>| {
                    let mut all: Vec<_> = o.members.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                    all.sort_by(|x, y| x.0.cmp(&y.0));
                    all
                };
                let (a, b) = (sorted(a), sorted(b));
                let keys = a.iter().map(|p| &p.0).cmp(b.iter().map(|p| &p.0));
                keys.then_with(|| a.iter().map(|p| &p.1).cmp(b.iter().map(|p| &p.1)))
            }
            (a, b) => match (a.as_f64(), b.as_f64()) {
                // What is not a number is less than every number.
                (Some(x), Some(y)) => x.partial_cmp(&y).unwrap_or_else(|| y.is_nan().cmp(&x.is_nan())),
                _ => a.order().cmp(&b.order()),
            },
        }
    }
}

impl PartialOrd for Val {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Val {}

/// For messages: what it is, not what is in it.
impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Serialize for Val {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => s.serialize_unit(),
            Self::Bool(b) => s.serialize_bool(*b),
            Self::Int(i) => s.serialize_i64(*i),
            // JSON has no infinity: the nearest that there is, as jq does. Not a number becomes null.
            Self::Float(f) if f.is_infinite() => s.serialize_f64(f64::MAX.copysign(*f)),
            Self::Float(f) => s.serialize_f64(*f),
            Self::Str(t) => s.serialize_str(t),
            Self::Arr(a) => s.collect_seq(&a.items),
            Self::Obj(o) => s.collect_map(o.members.iter().map(|(k, v)| (k.as_str(), v))),
        }
    }
}

impl<'de> Deserialize<'de> for Val {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Reader)
    }
}

/// Reads payloads. Not paid for: their size has its own limit.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Val;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Val, E> {
        Ok(Val::Null)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Val, E> {
        Ok(Val::Bool(b))
    }
    fn visit_i64<E>(self, i: i64) -> Result<Val, E> {
        Ok(Val::Int(i))
    }
    fn visit_u64<E>(self, i: u64) -> Result<Val, E> {
        Ok(i64::try_from(i).map_or(Val::Float(i as f64), Val::Int))
    }
    fn visit_f64<E>(self, f: f64) -> Result<Val, E> {
        Ok(Val::Float(f))
    }
    fn visit_str<E>(self, s: &str) -> Result<Val, E> {
        Ok(Val::Str(Arc::new(s.to_owned())))
    }
    fn visit_string<E>(self, s: String) -> Result<Val, E> {
        Ok(Val::Str(Arc::new(s)))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Val, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Val::Arr(Arc::new(Arr::measured(items))))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Val, A::Error> {
        let mut members = Members::default();
        while let Some((k, v)) = map.next_entry::<String, Val>()? {
            members.insert(Arc::new(k), v);
        }
        Ok(Val::Obj(Arc::new(Obj::measured(members))))
    }
}
