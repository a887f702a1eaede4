//! Every refusal that the format pages name, with the code and the words that go with it, and
//! every oddity that they accept: refusing too much fails a test, too.

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
