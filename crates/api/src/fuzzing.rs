//! Doors for the fuzz targets, to what nobody else needs to reach. Only there with the feature `fuzzing`.

use crate::lti::params::Params;
use http::{HeaderMap, HeaderValue, header};
pub use service::lti::SubscriptionInput;

/// What a tool's body holds.
#[derive(Clone, PartialEq, Debug)]
pub struct ToolBody {
    /// Names with their values, unless it is JSON.
    pub pairs: Option<Vec<(String, String)>>,
    /// What stands under `subscription`.
    pub subscription: Option<SubscriptionInput>,
}

/// Reads a tool's body by its type.
pub fn read_tool_body(content_type: &HeaderValue, body: &[u8]) -> ToolBody {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, content_type.clone());
    let params = Params::read(&headers, body);
    let subscription = params.subscription();
    let pairs = match params {
        Params::Pairs(pairs) => Some(pairs),
        Params::Json(_) => None,
    };
    ToolBody { pairs, subscription }
}
