//! Every refusal that the format pages name, with its code and the parts of its message, and every
//! oddity that they accept.

mod accepted;
mod bat;
mod chain;
mod header;
mod locator;
mod log;
mod log_remains;
mod metadata;
mod rct;
mod region;
mod request;
mod set;
mod support;
mod tolerated;
