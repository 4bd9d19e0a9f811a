//! `+`, `-`, `*`, `/`, `%` on jq values: what they mean, and what they cost. Knows nothing of programs.

use super::{super::meter::pay, Size, Val, over};
use jaq_core::{Error, ValR, ops::Math};
use std::sync::Arc;

fn number(x: f64) -> Val {
    // A whole result stays whole where integers are exact.
    if x.fract() == 0.0 && x.abs() < 9e15 { Val::Int(x as i64) } else { Val::Float(x) }
}

impl std::ops::Add for Val {
    type Output = ValR<Self>;
    fn add(self, rhs: Self) -> ValR<Self> {
        if !pay(1) {
            return Err(over());
        }
        Ok(match (self, rhs) {
            (Self::Null, v) | (v, Self::Null) => v,
            (Self::Int(a), Self::Int(b)) => a.checked_add(b).map_or(Self::Float(a as f64 + b as f64), Self::Int),
            (Self::Str(mut a), Self::Str(b)) => {
                let copied = if Arc::get_mut(&mut a).is_some() { 0 } else { a.len() };
                let fits = Size { bytes: (a.len() + b.len()) as u64, depth: 0 }.allowed();
                if !fits || !pay((copied + b.len()) as u64 / 64) {
                    return Err(over());
                }
                Arc::make_mut(&mut a).push_str(&b);
                Self::Str(a)
            }
            (Self::Arr(mut a), Self::Arr(b)) => {
                let copied = if Arc::get_mut(&mut a).is_some() { 0 } else { a.items.len() };
                let size = Size { bytes: a.size.bytes + b.size.bytes, depth: a.size.depth.max(b.size.depth) };
                if !size.allowed() || !pay((copied + b.items.len()) as u64 / 2) {
                    return Err(over());
                }
                let sum = Arc::make_mut(&mut a);
                sum.items.extend(b.items.iter().cloned());
                sum.size = size;
                Self::Arr(a)
            }
            (Self::Obj(mut a), Self::Obj(b)) => {
                let copied = if Arc::get_mut(&mut a).is_some() { 0 } else { a.members.len() };
                if !pay((copied + b.members.len()) as u64) {
                    return Err(over());
                }
                let sum = Arc::make_mut(&mut a);
                b.members.iter().for_each(|(k, v)| sum.put(k.clone(), v.clone()));
                if !sum.size.allowed() {
                    return Err(over());
                }
                Self::Obj(a)
            }
            (a, b) => match (a.as_f64(), b.as_f64()) {
                (Some(x), Some(y)) => Self::Float(x + y),
                _ => return Err(Error::math(a, Math::Add, b)),
            },
        })
    }
}

impl std::ops::Sub for Val {
    type Output = ValR<Self>;
    fn sub(self, rhs: Self) -> ValR<Self> {
        match (self, rhs) {
            (Self::Int(a), Self::Int(b)) if pay(1) => {
                Ok(a.checked_sub(b).map_or(Self::Float(a as f64 - b as f64), Self::Int))
            }
            (Self::Arr(a), Self::Arr(b)) => {
                let compared = (a.items.len() as u64).saturating_mul(b.items.len() as u64);
                if !pay(compared.saturating_add(a.items.len() as u64)) {
                    return Err(over());
                }
                Self::array(a.items.iter().filter(|v| !b.items.contains(v)).cloned().collect())
            }
            (a, b) => match (a.as_f64(), b.as_f64()) {
                (Some(x), Some(y)) if pay(1) => Ok(Self::Float(x - y)),
                _ => Err(Error::math(a, Math::Sub, b)),
            },
        }
    }
}

/// `b` over `a`, objects in objects merged.
fn merged(a: Val, b: Val) -> ValR<Val> {
    match (a, b) {
        (Val::Obj(a), Val::Obj(b)) => {
            if !pay((a.members.len() + b.members.len()) as u64 + 1) {
                return Err(over());
            }
            let mut members = Arc::unwrap_or_clone(a).members;
            for (k, new) in &b.members {
                let new = match members.get(k) {
                    Some(old) => merged(old.clone(), new.clone())?,
                    None => new.clone(),
                };
                members.insert(k.clone(), new);
            }
            Val::object(members)
        }
        (_, b) => Ok(b),
    }
}

impl std::ops::Mul for Val {
    type Output = ValR<Self>;
    fn mul(self, rhs: Self) -> ValR<Self> {
        match (self, rhs) {
            (Self::Int(a), Self::Int(b)) if pay(1) => {
                Ok(a.checked_mul(b).map_or(Self::Float(a as f64 * b as f64), Self::Int))
            }
            (Self::Str(s), n @ (Self::Int(_) | Self::Float(_)))
            | (n @ (Self::Int(_) | Self::Float(_)), Self::Str(s)) => {
                let times = n.as_index().unwrap_or(0);
                if times <= 0 {
                    return Ok(Self::Null);
                }
                // Looked at before it is made.
                let bytes = (s.len() as u64).saturating_mul(times.unsigned_abs());
                if !(Size { bytes, depth: 0 }).allowed() || !pay(1 + bytes / 64) {
                    return Err(over());
                }
                Ok(Self::text(s.repeat(usize::try_from(times).unwrap_or(0))))
            }
            (a @ Self::Obj(_), b @ Self::Obj(_)) => merged(a, b),
            (a, b) => match (a.as_f64(), b.as_f64()) {
                (Some(x), Some(y)) if pay(1) => Ok(Self::Float(x * y)),
                _ => Err(Error::math(a, Math::Mul, b)),
            },
        }
    }
}

impl std::ops::Div for Val {
    type Output = ValR<Self>;
    fn div(self, rhs: Self) -> ValR<Self> {
        match (self, rhs) {
            (Self::Str(s), Self::Str(by)) => {
                if !pay(1 + s.len() as u64 / 8) {
                    return Err(over());
                }
                let parts = match (s.is_empty(), by.is_empty()) {
                    (true, _) => Vec::new(),
                    (_, true) => s.chars().map(Self::text).collect(),
                    _ => s.split(by.as_str()).map(Self::text).collect(),
                };
                Self::array(parts)
            }
            (a, b) => match (a.as_f64(), b.as_f64()) {
                (Some(_), Some(0.0)) => Err(Error::str("cannot divide by zero")),
                (Some(x), Some(y)) if pay(1) => Ok(number(x / y)),
                _ => Err(Error::math(a, Math::Div, b)),
            },
        }
    }
}

impl std::ops::Rem for Val {
    type Output = ValR<Self>;
    fn rem(self, rhs: Self) -> ValR<Self> {
        // Whole numbers only, as in jq: both sides are cut off first.
        let whole =
            |v: &Self| v.as_f64().filter(|f| !f.is_nan()).map(|f| if let Self::Int(i) = v { *i } else { f as i64 });
        match (whole(&self), whole(&rhs)) {
            (Some(_), Some(0)) => Err(Error::str("cannot divide by zero")),
            (Some(a), Some(b)) if pay(1) => Ok(Self::Int(a.checked_rem(b).unwrap_or(0))),
            _ => Err(Error::math(self, Math::Rem, rhs)),
        }
    }
}

impl std::ops::Neg for Val {
    type Output = ValR<Self>;
    fn neg(self) -> ValR<Self> {
        match self {
            Self::Int(i) => Ok(i.checked_neg().map_or(Self::Float(-(i as f64)), Self::Int)),
            Self::Float(f) => Ok(Self::Float(-f)),
            v => Err(v.mistaken("number")),
        }
    }
}
