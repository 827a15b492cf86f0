//! Journeys over real sockets: the demo in its own process, people and programs in front of it.
