//! What journeys over real sockets need: the demo in a process of its own, and a person or a program in front of it.

pub mod aggregator;
pub mod demo;
pub mod holder;
pub mod issuer;
pub mod person;
pub mod program;
pub mod raw;
pub mod season;
pub mod tls;
pub mod webdriver;

pub use aggregator::Aggregator;
pub use demo::RunningDemo;
pub use person::Person;
pub use program::Program;
pub use webdriver::Browser;
