//! The coordinator's sockets, deadlines and record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use learner::federate::state::State;
use learner::federate::{
    Coordinator, Fault, MESSAGE_BYTES_MAX, Outcome, PROTOCOL, Record, Schema, Step, Terms, ToCoordinator,
    ToParty, plain,
};
use rustls::ServerConfig;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::name_of;
use super::{Certificates, HELLO_BYTES_MAX, HELLO_WITHIN, NEWCOMERS_MAX, frames};
use crate::audit::{AuditLog, Entry};

/// Who is waited for before a training begins.
#[derive(Clone, Copy, Debug)]
pub struct Enrolment {
    /// It begins with so many parties …
    pub parties: usize,
    /// … or, with as many as the terms ask for, after this time.
    pub within: Duration,
}

/// A connection that said its first word.
struct Newcomer {
    name: String,
    hello: ToCoordinator,
    stream: TlsStream<TcpStream>,
}

/// A connection's end of things.
enum Event {
    Message(u64, ToCoordinator),
    Lost(u64, String),
}

struct Connection {
    number: u64,
    /// Frames for its writer, which gives up when one is not taken in time.
    frames: mpsc::Sender<Vec<u8>>,
    /// What reads from it, which would otherwise keep the connection open for as long as the other side does.
    reader: AbortHandle,
    /// Messages that it was sent and has not answered; a party says nothing unasked.
    owed: u32,
}

/// Runs one training: waits for the parties, takes them through, and puts every sum on record.
///
/// # Errors
/// Too few parties came, or the decision log cannot be written.
pub async fn coordinate(
    listener: TcpListener,
    certificates: &Certificates,
    terms: Terms,
    schema: Schema,
    enrolment: Enrolment,
    log: &AuditLog,
    progress: impl FnMut(&Record),
) -> anyhow::Result<(Outcome, State)> {
    let (newcomers, arrivals) = mpsc::channel(NEWCOMERS_MAX);
    let door = tokio::spawn(accept(listener, certificates.server()?, newcomers));
    let (events, received) = mpsc::channel(16);
    let mut training = Training {
        schema,
        events,
        received,
        arrivals,
        names: BTreeMap::new(),
        connections: BTreeMap::new(),
        numbers: 0,
        writers: JoinSet::new(),
        write_within: Duration::from_millis(terms.deadline_ms),
        progress,
    };
    let ended = training.run(certificates, terms, enrolment, log).await;
    door.abort();
    training.let_go().await;
    ended
}

/// Takes connections; each has its own bound of time, and there are never many that have not said who they are.
async fn accept(listener: TcpListener, tls: Arc<ServerConfig>, newcomers: mpsc::Sender<Newcomer>) {
    let places = Arc::new(Semaphore::new(NEWCOMERS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors: others will be closed.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, newcomers) = (Arc::clone(&tls), newcomers.clone());
        tokio::spawn(async move {
            match timeout(HELLO_WITHIN, greet(stream, tls)).await {
                Ok(Ok(newcomer)) => drop(newcomers.send(newcomer).await),
                Ok(Err(error)) => {
                    tracing::warn!("a connection is refused: {}", plain(&format!("{error:#}")));
                }
                Err(_) => tracing::warn!("a connection is refused: it did not say who it is in time"),
            }
            drop(place);
        });
    }
}

async fn greet(stream: TcpStream, tls: Arc<ServerConfig>) -> anyhow::Result<Newcomer> {
    stream.set_nodelay(true)?;
    let mut stream = TlsAcceptor::from(tls).accept(stream).await.context("TLS")?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let name = name_of(shown.context("no certificate")?)?;
    let hello = frames::read(&mut stream, HELLO_BYTES_MAX).await.context("first word")?;
    Ok(Newcomer { name, hello, stream })
}

struct Training<P> {
    schema: Schema,
    events: mpsc::Sender<Event>,
    received: mpsc::Receiver<Event>,
    arrivals: mpsc::Receiver<Newcomer>,
    names: BTreeMap<u64, String>,
    connections: BTreeMap<String, Connection>,
    numbers: u64,
    writers: JoinSet<()>,
    write_within: Duration,
    progress: P,
}

impl<P: FnMut(&Record)> Training<P> {
    async fn run(
        &mut self,
        certificates: &Certificates,
        terms: Terms,
        enrolment: Enrolment,
        log: &AuditLog,
    ) -> anyhow::Result<(Outcome, State)> {
        self.enrol(enrolment).await;
        let (found, least) = (self.connections.len(), terms.parties_min as usize);
        anyhow::ensure!(found >= least, "{found} parties came in time, {least} are needed");
        let deadline = Duration::from_millis(terms.deadline_ms);
        let parties: BTreeSet<String> = self.connections.keys().cloned().collect();
        let notary = certificates.notary(certificates.name(), None);
        let (mut coordinator, mut step) = Coordinator::new(terms, self.schema.clone(), parties, notary);
        loop {
            self.carry_out(&mut coordinator, step, log).await?;
            if let Some(outcome) = coordinator.outcome() {
                return Ok((outcome.clone(), coordinator.state().clone()));
            }
            let until = Instant::now() + deadline;
            while !coordinator.waits_for().is_empty() {
                tokio::select! {
                    biased;
                    event = timeout_at(until, self.received.recv()) => match event {
                        Ok(Some(event)) => self.take(&mut coordinator, event, log).await?,
                        Ok(None) | Err(_) => break,
                    },
                    Some(newcomer) = self.arrivals.recv() => {
                        self.turn_away(newcomer, "training is under way".to_owned());
                    }
                }
            }
            step = coordinator.advance();
        }
    }

    /// Waits for the parties. One that goes again before the training begins has not come.
    async fn enrol(&mut self, enrolment: Enrolment) {
        let until = Instant::now() + enrolment.within;
        while self.connections.len() < enrolment.parties {
            tokio::select! {
                newcomer = timeout_at(until, self.arrivals.recv()) => match newcomer {
                    Ok(Some(newcomer)) => self.admit(newcomer),
                    Ok(None) | Err(_) => return,
                },
                Some(event) = self.received.recv() => {
                    let number = match event {
                        Event::Message(number, _) | Event::Lost(number, _) => number,
                    };
                    // Whoever speaks before it is asked does not know the protocol.
                    if let Some(name) = self.names.get(&number).cloned() {
                        self.forget(&name);
                        tracing::warn!(party = name, "gone before the training began");
                    }
                }
            }
        }
    }

    fn admit(&mut self, newcomer: Newcomer) {
        if let Some(reason) = self.objection(&newcomer) {
            return self.turn_away(newcomer, reason);
        }
        let Newcomer { name, stream, .. } = newcomer;
        self.numbers += 1;
        let number = self.numbers;
        let (reading, writing) = tokio::io::split(stream);
        let (frames, outgoing) = mpsc::channel(8);
        let reader = tokio::spawn(read(number, reading, self.events.clone())).abort_handle();
        self.writers.spawn(write(number, writing, outgoing, self.write_within, self.events.clone()));
        tracing::info!(party = name, "has come");
        self.names.insert(number, name.clone());
        self.connections.insert(name, Connection { number, frames, reader, owed: 0 });
    }

    fn objection(&self, newcomer: &Newcomer) -> Option<String> {
        let ToCoordinator::Hello { protocol, schema, features } = &newcomer.hello else {
            return Some("the first word is `hello`".to_owned());
        };
        if *protocol != PROTOCOL {
            return Some(format!("protocol {protocol}, the coordinator speaks {PROTOCOL}"));
        }
        if *schema != self.schema.digest() {
            let ours = self.schema.names();
            let other = ours.iter().zip(features).find(|(ours, theirs)| ours != theirs);
            let difference = match other {
                Some((ours, theirs)) => format!("it has {theirs:?} where {ours:?} is agreed"),
                None if ours.len() == features.len() => "bounds, label or unit differ".to_owned(),
                None => format!("it has {} features, {} are agreed", features.len(), ours.len()),
            };
            return Some(format!(
                "schema {schema}, agreed is {}: {}",
                self.schema.digest(),
                plain(&difference)
            ));
        }
        let is_there = self.connections.contains_key(&newcomer.name);
        is_there.then(|| format!("a party of the name {} is connected already", newcomer.name))
    }

    fn turn_away(&self, newcomer: Newcomer, reason: String) {
        tracing::warn!(party = newcomer.name, reason, "is turned away");
        let mut stream = newcomer.stream;
        tokio::spawn(async move {
            let saying = async {
                frames::write(&mut stream, &ToParty::Refused { reason }).await?;
                stream.shutdown().await
            };
            // Whether it hears why is its own concern.
            let _heard = timeout(HELLO_WITHIN, saying).await;
        });
    }

    /// Puts on record, then sends, then closes.
    async fn carry_out(
        &mut self,
        coordinator: &mut Coordinator,
        step: Step,
        log: &AuditLog,
    ) -> anyhow::Result<()> {
        let mut steps = vec![step];
        while let Some(Step { records, send, close }) = steps.pop() {
            for record in records {
                (self.progress)(&record);
                let durable = log.submit_durable(Entry::Federated(Box::new(record)));
                durable.await.context("the decision log")?;
            }
            for (name, message) in send {
                let Some(connection) = self.connections.get_mut(&name) else { continue };
                connection.owed += 1;
                let sent = frames::frame(&message).map(|frame| connection.frames.try_send(frame).is_ok());
                if !sent.unwrap_or(false) {
                    self.forget(&name);
                    steps.push(coordinator.lost(&name, "it does not read what it is sent"));
                }
            }
            for (name, reason) in close {
                self.dismiss(&name, reason);
            }
        }
        Ok(())
    }

    async fn take(
        &mut self,
        coordinator: &mut Coordinator,
        event: Event,
        log: &AuditLog,
    ) -> anyhow::Result<()> {
        let (number, gone) = match event {
            Event::Lost(number, why) => (number, Some(why)),
            Event::Message(number, message) => {
                let Some(name) = self.names.get(&number).cloned() else { return Ok(()) };
                let connection = self.connections.get_mut(&name).filter(|connection| connection.owed > 0);
                let is_answer = connection.is_some() || matches!(message, ToCoordinator::Refuse { .. });
                if let Some(connection) = connection {
                    connection.owed -= 1;
                }
                let taken =
                    if is_answer { coordinator.receive(&name, message) } else { Err(Fault::OutOfTurn) };
                match taken {
                    Ok(()) => (number, None),
                    Err(fault) => {
                        self.dismiss(&name, fault.to_string());
                        let step = coordinator.lost(&name, &fault.to_string());
                        return self.carry_out(coordinator, step, log).await;
                    }
                }
            }
        };
        if let (Some(why), Some(name)) = (gone, self.names.get(&number).cloned()) {
            self.forget(&name);
            let step = coordinator.lost(&name, &why);
            self.carry_out(coordinator, step, log).await?;
        }
        Ok(())
    }

    /// Tells a party why, and ends its connection.
    fn dismiss(&mut self, name: &str, reason: String) {
        tracing::warn!(party = name, reason, "is dismissed");
        if let Some(connection) = self.connections.get(name)
            && let Ok(frame) = frames::frame(&ToParty::Refused { reason })
        {
            // A party that does not read does not hear why.
            let _heard = connection.frames.try_send(frame);
        }
        self.forget(name);
    }

    fn forget(&mut self, name: &str) {
        if let Some(connection) = self.connections.remove(name) {
            self.names.remove(&connection.number);
            connection.reader.abort();
        }
    }

    /// Ends all connections once what waits for them is written.
    async fn let_go(&mut self) {
        for name in self.connections.keys().cloned().collect::<Vec<_>>() {
            self.forget(&name);
        }
        // Each writer has a bound of its own for every frame; who does not read by then is left.
        let writing = async { while self.writers.join_next().await.is_some() {} };
        let _written = timeout(self.write_within, writing).await;
    }
}

async fn read(number: u64, mut stream: ReadHalf<TlsStream<TcpStream>>, events: mpsc::Sender<Event>) {
    loop {
        let event = match frames::read(&mut stream, MESSAGE_BYTES_MAX).await {
            Ok(message) => Event::Message(number, message),
            Err(error) => Event::Lost(number, plain(&error.to_string())),
        };
        let is_last = matches!(event, Event::Lost(..));
        if events.send(event).await.is_err() || is_last {
            return;
        }
    }
}

async fn write(
    number: u64,
    mut stream: WriteHalf<TlsStream<TcpStream>>,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    within: Duration,
    events: mpsc::Sender<Event>,
) {
    while let Some(frame) = outgoing.recv().await {
        let writing = async {
            stream.write_all(&frame).await?;
            stream.flush().await
        };
        if !matches!(timeout(within, writing).await, Ok(Ok(()))) {
            drop(events.send(Event::Lost(number, "it does not read what it is sent".to_owned())).await);
            return;
        }
    }
    // The other end may be gone already.
    let _closed = timeout(within, stream.shutdown()).await;
}
