//! A party's connection to the coordinator.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use learner::federate::party::Reply;
use learner::federate::state::State;
use learner::federate::wire::Digest;
use learner::federate::{
    Limits, MESSAGE_BYTES_MAX, Outcome, Party, Schema, SystemEntropy, ToCoordinator, ToParty, Work,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::certificates::name_of;
use super::{Certificates, HELLO_WITHIN, frames};

/// Where a party goes, and what it insists on.
pub struct Joining {
    /// Host and port of the coordinator.
    pub coordinator: String,
    /// The name that the coordinator's certificate must have; the host where none is given.
    pub coordinator_name: Option<String>,
    /// Other parties that may be in a sum; everybody with a certificate of the authority where none are given.
    pub peers: Option<BTreeSet<String>>,
    /// What is insisted on in the terms.
    pub limits: Limits,
    /// Longest wait for the coordinator.
    pub patience: Duration,
}

/// What taking part came to.
#[derive(Debug)]
pub struct TookPart {
    /// As the coordinator has it on record.
    pub outcome: Outcome,
    /// The last state that was accepted.
    pub state: State,
    /// Whether this party saw the votes for it, or trained from it; else it is the coordinator's word.
    pub verified: bool,
    /// Privacy loss of what this party gave away, by its own account.
    pub epsilon: Option<f64>,
    /// Digest of the last commitment that this party saw.
    pub commitment: Option<Digest>,
}

/// Takes part in one training.
///
/// # Errors
/// No connection, a coordinator that is not the right one or does not answer, or a refusal by either side.
pub async fn take_part(
    joining: Joining,
    certificates: &Certificates,
    schema: Schema,
    work: Box<dyn Work>,
    mut progress: impl FnMut(&ToParty),
) -> anyhow::Result<TookPart> {
    let Joining { coordinator, coordinator_name, peers, limits, patience } = joining;
    let host = coordinator.rsplit_once(':').map_or(coordinator.as_str(), |(host, _)| host);
    let expected = coordinator_name.unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
    let server = ServerName::try_from(expected).context("the coordinator's name")?;
    let connecting = async {
        let stream = TcpStream::connect(&coordinator).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(certificates.client()?).connect(server, stream).await.map_err(anyhow::Error::from)
    };
    let connected = timeout(HELLO_WITHIN, connecting).await.context("no connection in time")?;
    let mut stream = connected.with_context(|| format!("coordinator {coordinator}"))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let name = name_of(shown.context("the coordinator showed no certificate")?)?;
    let notary = certificates.notary(&name, peers);
    let mut party = Party::new(schema, limits, notary, Box::new(SystemEntropy), work);
    frames::write(&mut stream, &party.hello()).await?;
    loop {
        let read = timeout(patience, frames::read::<ToParty>(&mut stream, MESSAGE_BYTES_MAX)).await;
        let message = read.context("the coordinator does not answer")?.context("the coordinator")?;
        progress(&message);
        match party.handle(message) {
            Ok(Reply::Nothing) => {}
            Ok(Reply::Send(answer)) => {
                timeout(patience, frames::write(&mut stream, &*answer))
                    .await
                    .context("the coordinator does not read")??;
            }
            Ok(Reply::Finished { outcome, state, verified }) => {
                let (epsilon, commitment) = (party.epsilon_spent(), party.commitment());
                return Ok(TookPart { outcome: *outcome, state: *state, verified, epsilon, commitment });
            }
            Err(refusal) => {
                let refuse = ToCoordinator::Refuse { reason: refusal.to_string() };
                // The coordinator may be gone, which is then not what is wrong.
                let _told = timeout(HELLO_WITHIN, frames::write(&mut stream, &refuse)).await;
                return Err(refusal.into());
            }
        }
    }
}
