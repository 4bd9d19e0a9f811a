//! JSON whose members keep the order in which they were put.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A text.
    Text(String),
    /// Something that was published, as it was.
    Plain(Value),
    /// Members in order.
    Object(Object),
    /// Values in order.
    List(Vec<Node>),
}

/// Members in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Object(Vec<(&'static str, Node)>);

impl Object {
    pub(super) fn new() -> Self {
        Self::default()
    }
    /// With a member; without it if there is nothing to put.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<MaybeNode>) -> Self {
        if let MaybeNode(Some(node)) = value.into() {
            self.0.push((name, node));
        }
        self
    }
    /// Without a member.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(n, _)| *n != name);
        self
    }
    /// The member of this name, for changing it.
    pub(super) fn member(&mut self, name: &str) -> Option<&mut Object> {
        self.0.iter_mut().find_map(|(n, node)| match node {
            Node::Object(object) if *n == name => Some(object),
            _ => None,
        })
    }
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Something to put, or nothing.
pub(super) struct MaybeNode(Option<Node>);

impl<T: Into<Node>> From<T> for MaybeNode {
    fn from(value: T) -> Self {
        Self(Some(value.into()))
    }
}

impl<T: Into<Node>> From<Option<T>> for MaybeNode {
    fn from(value: Option<T>) -> Self {
        Self(value.map(Into::into))
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Object> for Node {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Plain(value) => value.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
            Self::List(nodes) => nodes.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, node) in &self.0 {
            map.serialize_entry(name, node)?;
        }
        map.end()
    }
}
