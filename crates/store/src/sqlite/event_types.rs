//! event_types
