//! What journeys over real sockets need: the demo in a process of its own, and a person or a program in front of it.

pub mod demo;
pub mod program;

pub use demo::RunningDemo;
pub use program::Program;
