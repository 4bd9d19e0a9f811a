//! Functions written in Rust. Each pays before it works.

use super::{
    meter::{arrive, pay},
    value::Val,
};
use jaq_core::{
    Bind, Ctx, Cv, DataT, Error, Exn, Native, ValR, ValT, ValX,
    box_iter::box_once,
    data::JustLut,
    native::{Filter, Fun, bome, run, unary, v},
};
use std::sync::Arc;

/// What expressions are evaluated over.
pub(super) type Data = JustLut<Val>;

/// The mark before every step of an expression. No user can write this name.
pub(super) const STEP: &str = "step!";
/// What a step costs: contexts and iterators are made for it.
const STEP_COST: u64 = 4;
/// Steps of a run that go over its limit end with this, which nothing in an expression can catch.
const HALT: i32 = 1;

/// Pays for a step; after the limit the whole evaluation ends here.
fn step(at: &Val) -> Result<(), Exn<'static, Val>> {
    if let Val::Int(at) = at {
        arrive(usize::try_from(*at).unwrap_or(0));
    }
    if pay(STEP_COST) { Ok(()) } else { Err(Exn::halt(HALT)) }
}

/// The functions.
pub(super) fn all() -> Vec<Fun<Data>> {
    let native_step: Native<Data> = Native::new(|mut cv| box_once(step(&cv.0.pop_var()).map(|()| cv.1)))
        .with_paths(|mut cv| box_once(step(&cv.0.pop_var()).map(|()| cv.1)))
        .with_update(|mut cv, f| match step(&cv.0.pop_var()) {
            Ok(()) => f(cv.1),
            Err(halt) => box_once(Err(halt)),
        });
    let mut all: Vec<Fun<Data>> = vec![(STEP, v(1), native_step)];
    // `first`, `limit`, `path`, `range` and the like, which work through the evaluator.
    all.extend(jaq_core::funs::<Data>());
    for function in plain() {
        all.push(run::<Data>(function));
    }
    all
}

type Run = jaq_core::RunPtr<Data>;

fn text_of(v: &Val) -> ValR<&str, Val> {
    v.as_text().map(|t| t.as_str()).ok_or_else(|| v.clone().mistaken("string"))
}

fn spent() -> Error<Val> {
    Error::new(Val::Null)
}

/// A function on a text that looks at all of it.
fn on_text(value: Val, f: impl FnOnce(&str) -> Val) -> ValR<Val> {
    let text = text_of(&value)?;
    if pay(1 + text.len() as u64 / 32) { Ok(f(text)) } else { Err(spent()) }
}

fn rounded(value: Val, f: fn(f64) -> f64) -> ValR<Val> {
    match value {
        Val::Int(_) => Ok(value),
        // Saturates only outside of what 64 bits hold, which is left as it is.
        Val::Float(x) if f(x).abs() < 9e18 => Ok(Val::Int(f(x) as i64)),
        Val::Float(x) => Ok(Val::Float(f(x))),
        v => Err(v.mistaken("number")),
    }
}

fn length(value: &Val) -> ValR<Val> {
    let count = |n: usize| Val::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Ok(match value {
        Val::Null => Val::Int(0),
        Val::Bool(_) => return Err(Error::str("a boolean has no length")),
        Val::Int(i) => i.checked_abs().map_or(Val::Float(-(*i as f64)), Val::Int),
        Val::Float(f) => Val::Float(f.abs()),
        Val::Str(s) if pay(s.len() as u64 / 32) => count(s.chars().count()),
        Val::Str(_) => return Err(spent()),
        Val::Arr(a) => count(a.items.len()),
        Val::Obj(o) => count(o.members.len()),
    })
}

fn contains(a: &Val, b: &Val) -> bool {
    if !pay(1) {
        return false;
    }
    match (a, b) {
        (Val::Str(a), Val::Str(b)) => pay((a.len() + b.len()) as u64 / 16) && a.contains(b.as_str()),
        (Val::Arr(a), Val::Arr(b)) => b.items.iter().all(|y| a.items.iter().any(|x| contains(x, y))),
        (Val::Obj(a), Val::Obj(b)) => b.members.iter().all(|(k, y)| a.members.get(k).is_some_and(|x| contains(x, y))),
        _ => a == b,
    }
}

fn has(value: &Val, key: &Val) -> ValR<Val> {
    match (value, key) {
        (Val::Obj(o), Val::Str(k)) => Ok(o.members.contains_key(k).into()),
        (Val::Arr(a), Val::Int(i)) => Ok(usize::try_from(*i).is_ok_and(|i| i < a.items.len()).into()),
        _ => Err(Error::index(value.clone(), key.clone())),
    }
}

fn index(value: &Val, part: &Val) -> ValR<Val> {
    let at = |n: Option<usize>| n.map_or(Val::Null, |n| Val::Int(i64::try_from(n).unwrap_or(i64::MAX)));
    match (value, part) {
        (Val::Str(s), Val::Str(p)) if pay(1 + s.len() as u64 / 16) => {
            Ok(at(s.find(p.as_str()).map(|bytes| s[..bytes].chars().count())))
        }
        (Val::Arr(a), part) if pay(a.items.len() as u64) => Ok(at(a.items.iter().position(|x| x == part))),
        (value, part) => Err(Error::index(value.clone(), part.clone())),
    }
}

fn items(value: Val) -> ValR<Vec<Val>, Val> {
    match value {
        Val::Arr(a) if pay(1 + a.items.len() as u64 / 2) => Ok(Arc::unwrap_or_clone(a).items),
        Val::Arr(_) => Err(spent()),
        v => Err(v.mistaken("array")),
    }
}

/// About what sorting this many costs.
fn sorting(n: usize) -> u64 {
    n as u64 * u64::from(usize::BITS - n.leading_zeros())
}

/// The items of an array with what `f` gives for each.
fn keyed<'a>(mut cv: Cv<'a, Data>) -> Result<Vec<(Vec<Val>, Val)>, Exn<'a, Val>> {
    let (f, context): (_, Ctx<'a, Data>) = cv.0.pop_fun();
    let of = |x: Val| Ok((f.run((context.clone(), x.clone())).collect::<ValX<Vec<_>, Val>>()?, x));
    items(cv.1)?.into_iter().map(of).collect()
}

fn sorted<'a>(cv: Cv<'a, Data>) -> Result<Vec<(Vec<Val>, Val)>, Exn<'a, Val>> {
    let mut all = keyed(cv)?;
    if !pay(sorting(all.len())) {
        return Err(spent().into());
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn grouped<'a>(cv: Cv<'a, Data>) -> ValX<'a, Val> {
    let mut groups: Vec<(Vec<Val>, Vec<Val>)> = Vec::new();
    for (key, item) in sorted(cv)? {
        match groups.last_mut() {
            Some((last, group)) if *last == key => group.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(_, group)| Val::array(group)).collect::<Result<_, _>>()?;
    Ok(Val::array(groups)?)
}

/// The first least or the last greatest item, as jq does; null of none.
fn extreme<'a>(cv: Cv<'a, Data>, greatest: bool) -> ValX<'a, Val> {
    let mut best: Option<(Vec<Val>, Val)> = None;
    for (key, item) in keyed(cv)? {
        let better = best.as_ref().is_none_or(|(b, _)| if greatest { key >= *b } else { key < *b });
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Val::Null, |(_, item)| item))
}

fn flatten(value: Val, levels: i64) -> ValR<Val> {
    fn into(flat: &mut Vec<Val>, all: Vec<Val>, levels: i64) -> Result<(), Error<Val>> {
        for item in all {
            match item {
                Val::Arr(_) if levels > 0 => into(flat, items(item)?, levels - 1)?,
                other if pay(1) => flat.push(other),
                _ => return Err(spent()),
            }
        }
        Ok(())
    }
    let mut flat = Vec::new();
    into(&mut flat, items(value)?, levels)?;
    Val::array(flat)
}

fn join(value: Val, by: &Val) -> ValR<Val> {
    let by = text_of(by)?;
    let mut joined = String::new();
    for (i, item) in items(value)?.into_iter().enumerate() {
        if i > 0 {
            joined.push_str(by);
        }
        match item {
            Val::Null => {}
            Val::Arr(_) | Val::Obj(_) => return Err(item.mistaken("string")),
            scalar => {
                if let Val::Str(s) = scalar.into_string() {
                    joined.push_str(&s);
                }
            }
        }
        // What has been joined so far is what is in memory: stop before it is too much, not after.
        if joined.len() as u64 > super::meter::VALUE_BYTES || !pay(1 + by.len() as u64 / 64) {
            return Ok(Val::text(joined));
        }
    }
    Ok(Val::text(joined))
}

fn test(value: &Val, pattern: &Val, flags: &Val) -> ValR<Val> {
    let (text, pattern) = (text_of(value)?, text_of(pattern)?);
    let mut builder = regex::RegexBuilder::new(pattern);
    builder.size_limit(256 * 1024).dfa_size_limit(256 * 1024).nest_limit(32);
    if !matches!(flags, Val::Null) {
        for flag in text_of(flags)?.chars() {
            match flag {
                'i' => builder.case_insensitive(true),
                'x' => builder.ignore_whitespace(true),
                's' => builder.dot_matches_new_line(true),
                _ => return Err(Error::str("only the flags i, s and x are known")),
            };
        }
    }
    // Making the pattern ready costs more than most matches.
    if pattern.len() > 1_000 || !pay(1_000 + pattern.len() as u64 * 20 + text.len() as u64 / 2) {
        return Err(if pattern.len() > 1_000 { Error::str("a pattern has at most 1000 characters") } else { spent() });
    }
    match builder.build() {
        Ok(found) => Ok(found.is_match(text).into()),
        Err(_) => Err(Error::str("this is not a regular expression, or one that is too large")),
    }
}

fn number_of(value: Val) -> ValR<Val> {
    match &value {
        Val::Int(_) | Val::Float(_) => Ok(value),
        Val::Str(s) => match serde_json::from_str::<Val>(s.trim()) {
            Ok(n @ (Val::Int(_) | Val::Float(_))) => Ok(n),
            _ => Err(Error::str("this string is not a number")),
        },
        _ => Err(value.mistaken("number")),
    }
}

fn from_json(value: Val) -> ValR<Val> {
    let text = text_of(&value)?;
    if !pay(1 + text.len() as u64 / 8) {
        return Err(spent());
    }
    let value: Val = serde_json::from_str(text).map_err(|_| Error::str("this string is not JSON"))?;
    // Short texts can be large values: `[0,0,0]`.
    if value.size().allowed() { Ok(value) } else { Err(spent()) }
}

fn to_date(value: &Val) -> ValR<Val> {
    let seconds = value.as_index().ok_or_else(|| value.clone().mistaken("number"))?;
    let at = jiff::Timestamp::from_second(seconds).map_err(|_| Error::str("this number is not a time"))?;
    Ok(Val::text(at.to_string()))
}

fn from_date(value: &Val) -> ValR<Val> {
    let at =
        domain::Timestamp::parse(text_of(value)?).ok_or_else(|| Error::str("this string is not a date and time"))?;
    Ok(Val::Int(at.as_seconds()))
}

fn percent_encoded(text: &str) -> Val {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            _ => {
                out.push('%');
                for digit in [b >> 4, b & 15] {
                    out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
    }
    Val::text(out)
}

fn from_base64(text: &str) -> ValR<Val> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let bytes = STANDARD.decode(text).ok().and_then(|b| String::from_utf8(b).ok());
    bytes.map(Val::text).ok_or_else(|| Error::str("this string is not base64 of a text"))
}

#[rustfmt::skip]
fn plain() -> Vec<Filter<Run>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let f = || -> Box<[Bind]> { [Bind::Fun(())].into() };
    vec![
        ("null", v(0), |_| bome(Ok(Val::Null))),
        ("true", v(0), |_| bome(Ok(Val::Bool(true)))),
        ("false", v(0), |_| bome(Ok(Val::Bool(false)))),
        ("type", v(0), |cv| bome(Ok(Val::text(cv.1.kind())))),
        ("length", v(0), |cv| bome(length(&cv.1))),
        ("utf8bytelength", v(0), |cv| bome(text_of(&cv.1).map(|s| Val::Int(i64::try_from(s.len()).unwrap_or(i64::MAX))))),
        ("has", v(1), |cv| unary(cv, |x, k| has(&x, &k))),
        ("contains", v(1), |cv| unary(cv, |a, b| Ok(contains(&a, &b).into()))),
        ("index", v(1), |cv| unary(cv, |a, b| index(&a, &b))),
        ("tojson", v(0), |cv| bome(if pay(cv.1.work()) { Ok(Val::text(cv.1.to_json())) } else { Err(spent()) })),
        ("fromjson", v(0), |cv| bome(from_json(cv.1))),
        ("tonumber", v(0), |cv| bome(number_of(cv.1))),
        ("floor", v(0), |cv| bome(rounded(cv.1, f64::floor))),
        ("ceil", v(0), |cv| bome(rounded(cv.1, f64::ceil))),
        ("round", v(0), |cv| bome(rounded(cv.1, f64::round))),
        ("ascii_downcase", v(0), |cv| bome(on_text(cv.1, |s| Val::text(s.to_ascii_lowercase())))),
        ("ascii_upcase", v(0), |cv| bome(on_text(cv.1, |s| Val::text(s.to_ascii_uppercase())))),
        ("trim", v(0), |cv| bome(on_text(cv.1, |s| Val::text(s.trim())))),
        ("ltrim", v(0), |cv| bome(on_text(cv.1, |s| Val::text(s.trim_start())))),
        ("rtrim", v(0), |cv| bome(on_text(cv.1, |s| Val::text(s.trim_end())))),
        ("startswith", v(1), |cv| unary(cv, |a, b| Ok(text_of(&a)?.starts_with(text_of(&b)?).into()))),
        ("endswith", v(1), |cv| unary(cv, |a, b| Ok(text_of(&a)?.ends_with(text_of(&b)?).into()))),
        ("ltrimstr", v(1), |cv| unary(cv, |a, b| Ok(match (a.as_text(), b.as_text()) {
            (Some(s), Some(p)) => s.strip_prefix(p.as_str()).map(Val::text).unwrap_or(a), _ => a }))),
        ("rtrimstr", v(1), |cv| unary(cv, |a, b| Ok(match (a.as_text(), b.as_text()) {
            (Some(s), Some(p)) => s.strip_suffix(p.as_str()).map(Val::text).unwrap_or(a), _ => a }))),
        ("split", v(1), |cv| unary(cv, |a, b| { text_of(&a)?; text_of(&b)?; a / b })),
        ("join", v(1), |cv| unary(cv, |a, b| join(a, &b))),
        ("test", v(1), |cv| unary(cv, |a, b| test(&a, &b, &Val::Null))),
        ("test", v(2), |mut cv| { let (flags, pattern) = (cv.0.pop_var(), cv.0.pop_var()); bome(test(&cv.1, &pattern, &flags)) }),
        ("reverse", v(0), |cv| bome(match cv.1 {
            Val::Str(_) => on_text(cv.1, |s| Val::text(s.chars().rev().collect::<String>())),
            Val::Null => Val::array(Vec::new()),
            other => items(other).and_then(|mut all| { all.reverse(); Val::array(all) }) })),
        ("flatten", v(0), |cv| bome(flatten(cv.1, i64::MAX))),
        ("flatten", v(1), |cv| unary(cv, |a, n| flatten(a, n.as_index().ok_or_else(|| n.clone().mistaken("number"))?))),
        ("sort", v(0), |cv| bome(items(cv.1).and_then(|mut all| {
            if !pay(sorting(all.len())) { return Err(spent()); }
            all.sort();
            Val::array(all) }))),
        ("sort_by", f(), |cv| box_once(sorted(cv).and_then(|all| Ok(Val::array(all.into_iter().map(|(_, x)| x).collect())?)))),
        ("group_by", f(), |cv| box_once(grouped(cv))),
        ("min_by", f(), |cv| box_once(extreme(cv, false))),
        ("max_by", f(), |cv| box_once(extreme(cv, true))),
        ("todateiso8601", v(0), |cv| bome(to_date(&cv.1))),
        ("fromdateiso8601", v(0), |cv| bome(from_date(&cv.1))),
        ("@base64", v(0), |cv| bome(on_text(cv.1.into_string(), |s| Val::text(STANDARD.encode(s))))),
        ("@base64d", v(0), |cv| bome(text_of(&cv.1).and_then(|s| if pay(1 + s.len() as u64 / 32) { from_base64(s) } else { Err(spent()) }))),
        ("@uri", v(0), |cv| bome(on_text(cv.1.into_string(), |s| if pay(s.len() as u64 / 4) { percent_encoded(s) } else { Val::Null }))),
    ]
}

/// What the evaluator needs of a data type; written down so that a change of it shows here.
const _: fn() = || {
    fn is_data<D: DataT>() {}
    is_data::<Data>();
};
