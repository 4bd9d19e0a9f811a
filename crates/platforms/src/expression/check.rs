//! What an expression may say. Looks at the parsed expression before it is compiled, refuses what could run for ever,
//! run out of stack, or reach outside, and marks every step so that the evaluation can be stopped there.

use super::{ExpressionError, natives};
use jaq_core::load::{
    Arena,
    lex::{StrPart, Tok, Token},
    parse::{BinaryOp, Pattern, Term},
    span,
};
use jaq_core::path::{Part, Path};

/// Characters of source.
pub const MAX_SOURCE: usize = 4_096;
/// Opening brackets, whether nested or not: the parser's recursion is bounded by them.
pub(super) const MAX_BRACKETS: usize = 128;
/// Words that open a nested term without a bracket.
const MAX_OPENERS: usize = 48;
/// Tokens.
const MAX_TOKENS: usize = 1_000;
/// Levels of the parsed expression; a pipe is one.
pub(super) const MAX_DEPTH: usize = 64;

/// What can be called, with how many arguments. Everything else is refused, known to jq or not.
pub(super) const ALLOWED: &[(&str, &[usize])] = &[
    ("@base64", &[0]),
    ("@base64d", &[0]),
    ("@json", &[0]),
    ("@text", &[0]),
    ("@uri", &[0]),
    ("abs", &[0]),
    ("add", &[0, 1]),
    ("all", &[0, 1, 2]),
    ("any", &[0, 1, 2]),
    ("arrays", &[0]),
    ("ascii_downcase", &[0]),
    ("ascii_upcase", &[0]),
    ("booleans", &[0]),
    ("ceil", &[0]),
    ("contains", &[1]),
    ("del", &[1]),
    ("empty", &[0]),
    ("endswith", &[1]),
    ("error", &[0, 1]),
    ("false", &[0]),
    ("first", &[0, 1]),
    ("flatten", &[0, 1]),
    ("floor", &[0]),
    ("from_entries", &[0]),
    ("fromdate", &[0]),
    ("fromdateiso8601", &[0]),
    ("fromjson", &[0]),
    ("getpath", &[1]),
    ("group_by", &[1]),
    ("has", &[1]),
    ("in", &[1]),
    ("index", &[1]),
    ("inside", &[1]),
    ("isempty", &[1]),
    ("iterables", &[0]),
    ("join", &[1]),
    ("keys", &[0]),
    ("keys_unsorted", &[0]),
    ("last", &[0, 1]),
    ("length", &[0]),
    ("limit", &[2]),
    ("ltrim", &[0]),
    ("ltrimstr", &[1]),
    ("map", &[1]),
    ("map_values", &[1]),
    ("max", &[0]),
    ("max_by", &[1]),
    ("min", &[0]),
    ("min_by", &[1]),
    ("not", &[0]),
    ("nth", &[1, 2]),
    ("null", &[0]),
    ("nulls", &[0]),
    ("numbers", &[0]),
    ("objects", &[0]),
    ("path", &[1]),
    ("pick", &[1]),
    ("range", &[1, 2, 3]),
    ("reverse", &[0]),
    ("round", &[0]),
    ("rtrim", &[0]),
    ("rtrimstr", &[1]),
    ("scalars", &[0]),
    ("select", &[1]),
    ("setpath", &[2]),
    ("skip", &[2]),
    ("sort", &[0]),
    ("sort_by", &[1]),
    ("split", &[1]),
    ("startswith", &[1]),
    ("strings", &[0]),
    ("test", &[1, 2]),
    ("to_entries", &[0]),
    ("todate", &[0]),
    ("todateiso8601", &[0]),
    ("tojson", &[0]),
    ("tonumber", &[0]),
    ("tostring", &[0]),
    ("trim", &[0]),
    ("true", &[0]),
    ("type", &[0]),
    ("unique", &[0]),
    ("unique_by", &[1]),
    ("utf8bytelength", &[0]),
    ("values", &[0]),
    ("with_entries", &[1]),
];

/// The functions that an expression may call, for help and completion.
pub fn functions() -> impl Iterator<Item = &'static str> {
    ALLOWED.iter().map(|(name, _)| *name)
}

/// Refuses, before anything is parsed, what the parser's own recursion could not take.
pub(super) fn check_source(source: &str) -> Result<(), ExpressionError> {
    if source.len() > MAX_SOURCE {
        return Err(ExpressionError::TooLong);
    }
    let brackets = source.bytes().filter(|b| matches!(b, b'(' | b'[' | b'{')).count();
    if brackets > MAX_BRACKETS { Err(ExpressionError::TooComplex) } else { Ok(()) }
}

/// The same for what nests without brackets.
pub(super) fn check_tokens(tokens: &[Token<&str>]) -> Result<(), ExpressionError> {
    fn count(tokens: &[Token<&str>], all: &mut usize, openers: &mut usize) {
        for Token(text, kind) in tokens {
            *all += 1;
            if matches!(*text, "-" | "try" | "if" | "elif" | "reduce" | "foreach" | "label" | "as" | "def") {
                *openers += 1;
            }
            match kind {
                Tok::Block(inner) => count(inner, all, openers),
                Tok::Str(parts) => {
                    for part in parts {
                        if let StrPart::Term(token) = part {
                            count(std::slice::from_ref(token), all, openers);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    let (mut all, mut openers) = (0, 0);
    count(tokens, &mut all, &mut openers);
    if all > MAX_TOKENS || openers > MAX_OPENERS { Err(ExpressionError::TooComplex) } else { Ok(()) }
}

/// Goes through the parsed expression and gives it back with its steps marked.
pub(super) struct Checker<'s> {
    source: &'s str,
    /// Keeps the marks' numbers as text.
    arena: &'s Arena,
}

impl<'s> Checker<'s> {
    pub(super) fn new(source: &'s str, arena: &'s Arena) -> Self {
        Self { source, arena }
    }

    pub(super) fn check(&self, term: Term<&'s str>) -> Result<Term<&'s str>, ExpressionError> {
        self.term(term, MAX_DEPTH)
    }

    fn refuse(&self, part: &str, what: &'static str) -> ExpressionError {
        ExpressionError::Refused { at: self.at(part), what: what.to_owned() }
    }

    /// Where a part of the source is, in characters from 1; 0 if it is not from the source.
    fn at(&self, part: &str) -> usize {
        offset(self.source, part)
    }

    fn boxed(&self, t: Term<&'s str>, depth: usize) -> Result<Box<Term<&'s str>>, ExpressionError> {
        Ok(Box::new(self.term(t, depth)?))
    }

    fn all(&self, terms: Vec<Term<&'s str>>, depth: usize) -> Result<Vec<Term<&'s str>>, ExpressionError> {
        terms.into_iter().map(|t| self.term(t, depth)).collect()
    }

    fn term(&self, term: Term<&'s str>, depth: usize) -> Result<Term<&'s str>, ExpressionError> {
        let Some(depth) = depth.checked_sub(1) else { return Err(ExpressionError::TooComplex) };
        let mark = self.mark(&term);
        let checked = match term {
            leaf @ (Term::Id | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None)) => return Ok(leaf),
            Term::Recurse => {
                return Err(ExpressionError::Refused {
                    at: 0,
                    what: "'..' goes through everything there is".to_owned(),
                });
            }
            Term::Def(defs, _) => {
                let name = defs.first().map_or("", |d| d.name);
                return Err(self.refuse(name, "definitions could call themselves without end"));
            }
            Term::Str(format, parts) => {
                if let Some(f) = format {
                    self.call(f, 0)?;
                }
                if !parts.iter().any(|p| matches!(p, StrPart::Term(_))) {
                    return Ok(Term::Str(format, parts));
                }
                let parts = parts.into_iter().map(|part| {
                    Ok(match part {
                        StrPart::Term(t) => StrPart::Term(self.term(t, depth)?),
                        other => other,
                    })
                });
                Term::Str(format, parts.collect::<Result<_, ExpressionError>>()?)
            }
            Term::Arr(Some(inner)) => Term::Arr(Some(self.boxed(*inner, depth)?)),
            Term::Obj(members) => {
                let members = members
                    .into_iter()
                    .map(|(k, v)| Ok((self.term(k, depth)?, v.map(|v| self.term(v, depth)).transpose()?)));
                Term::Obj(members.collect::<Result<_, ExpressionError>>()?)
            }
            Term::Neg(inner) => Term::Neg(self.boxed(*inner, depth)?),
            Term::BinOp(l, BinaryOp::Pipe(None), r) => {
                return Ok(Term::BinOp(self.boxed(*l, depth)?, BinaryOp::Pipe(None), self.boxed(*r, depth)?));
            }
            Term::BinOp(l, op, r) => {
                let op = match op {
                    BinaryOp::Pipe(Some(p)) => BinaryOp::Pipe(Some(self.pattern(p, depth)?)),
                    other => other,
                };
                Term::BinOp(self.boxed(*l, depth)?, op, self.boxed(*r, depth)?)
            }
            Term::Label(name, inner) => Term::Label(name, self.boxed(*inner, depth)?),
            Term::Fold(kind, over, pattern, args) => {
                let pattern = self.pattern(pattern, depth)?;
                Term::Fold(kind, self.boxed(*over, depth)?, pattern, self.all(args, depth)?)
            }
            Term::TryCatch(inner, catch) => {
                let catch = catch.map(|c| self.boxed(*c, depth)).transpose()?;
                Term::TryCatch(self.boxed(*inner, depth)?, catch)
            }
            Term::IfThenElse(branches, otherwise) => {
                let branches = branches.into_iter().map(|(c, t)| Ok((self.term(c, depth)?, self.term(t, depth)?)));
                let branches = branches.collect::<Result<_, ExpressionError>>()?;
                Term::IfThenElse(branches, otherwise.map(|o| self.boxed(*o, depth)).transpose()?)
            }
            Term::Call(name, args) => {
                self.call(name, args.len())?;
                Term::Call(name, self.all(args, depth)?)
            }
            Term::Path(inner, path) => {
                let parts = path.0.into_iter().map(|(part, opt)| {
                    let part = match part {
                        Part::Index(t) => Part::Index(self.term(t, depth)?),
                        Part::Range(from, upto) => {
                            let bound = |t: Option<_>| t.map(|t| self.term(t, depth)).transpose();
                            Part::Range(bound(from)?, bound(upto)?)
                        }
                    };
                    Ok((part, opt))
                });
                let parts = parts.collect::<Result<_, ExpressionError>>()?;
                Term::Path(self.boxed(*inner, depth)?, Path(parts))
            }
        };
        Ok(Term::BinOp(Box::new(mark), BinaryOp::Pipe(None), Box::new(checked)))
    }

    fn pattern(&self, pattern: Pattern<&'s str>, depth: usize) -> Result<Pattern<&'s str>, ExpressionError> {
        let Some(depth) = depth.checked_sub(1) else { return Err(ExpressionError::TooComplex) };
        Ok(match pattern {
            Pattern::Var(x) => Pattern::Var(x),
            Pattern::Arr(inner) => {
                Pattern::Arr(inner.into_iter().map(|p| self.pattern(p, depth)).collect::<Result<_, _>>()?)
            }
            Pattern::Obj(inner) => {
                let inner = inner.into_iter().map(|(k, p)| Ok((self.term(k, depth)?, self.pattern(p, depth)?)));
                Pattern::Obj(inner.collect::<Result<_, ExpressionError>>()?)
            }
        })
    }

    fn call(&self, name: &'s str, arguments: usize) -> Result<(), ExpressionError> {
        match ALLOWED.iter().find(|(n, _)| *n == name) {
            Some((_, arities)) if arities.contains(&arguments) => Ok(()),
            Some((_, arities)) => Err(ExpressionError::Arguments {
                at: self.at(name),
                name: name.to_owned(),
                takes: arities.iter().map(usize::to_string).collect::<Vec<_>>().join(" or "),
            }),
            None => Err(ExpressionError::Unknown { at: self.at(name), name: name.to_owned() }),
        }
    }

    /// The call that pays for a step and notes where it is.
    fn mark(&self, term: &Term<&'s str>) -> Term<&'s str> {
        let at = first_part(term).map_or(0, |part| self.at(part));
        let number = self.arena.alloc(at.to_string());
        Term::Call(natives::STEP, vec![Term::Num(number.as_str())])
    }
}

/// The first piece of source that a term still has.
fn first_part<'s>(term: &Term<&'s str>) -> Option<&'s str> {
    match term {
        Term::Num(s) | Term::Var(s) | Term::Break(s) | Term::Label(s, _) | Term::Call(s, _) => Some(s),
        Term::Fold(s, ..) | Term::Str(Some(s), _) => Some(s),
        Term::Str(None, parts) => parts.iter().find_map(|p| match p {
            StrPart::Str(s) => Some(*s),
            StrPart::Term(t) => first_part(t),
            StrPart::Char(_) => None,
        }),
        Term::Arr(inner) => inner.as_deref().and_then(first_part),
        Term::Obj(members) => members.iter().find_map(|(k, _)| first_part(k)),
        Term::Neg(t) | Term::TryCatch(t, _) => first_part(t),
        Term::BinOp(l, _, r) => first_part(l).or_else(|| first_part(r)),
        Term::IfThenElse(branches, _) => branches.first().and_then(|(c, _)| first_part(c)),
        Term::Path(t, path) => first_part(t).or_else(|| {
            path.0.iter().find_map(|(part, _)| match part {
                Part::Index(t) => first_part(t),
                Part::Range(from, upto) => from.as_ref().or(upto.as_ref()).and_then(first_part),
            })
        }),
        Term::Id | Term::Recurse | Term::Def(..) => None,
    }
}

/// Where a part of the source is, in characters from 1; 0 if it is not from the source.
pub(super) fn offset(source: &str, part: &str) -> usize {
    let inside = source.as_bytes().as_ptr_range().contains(&part.as_ptr())
        || part.as_ptr() == source.as_bytes().as_ptr_range().end;
    if !inside {
        return 0;
    }
    let start = span(source, part).start;
    source.get(..start).map_or(0, |before| before.chars().count() + 1)
}
