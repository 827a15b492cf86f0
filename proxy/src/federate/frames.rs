//! Messages on a connection: four bytes of length, most significant first, then that many bytes of JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection ended or failed.
    #[error("the connection ended: {0}")]
    Ended(#[from] io::Error),
    /// Longer than any message may be here.
    #[error("a message of {length} bytes, {most} are the most")]
    TooLong {
        /// As its first bytes say.
        length: usize,
        /// The bound.
        most: usize,
    },
    /// Not a message.
    #[error("not a message: {0}")]
    Malformed(serde_json::Error),
}

/// Reads one message. Memory grows with what arrives, not with what is announced.
pub async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> Result<T, FrameError> {
    let length = stream.read_u32().await? as usize;
    if length > bytes_max {
        return Err(FrameError::TooLong { length, most: bytes_max });
    }
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(FrameError::Ended(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&bytes).map_err(FrameError::Malformed)
}

/// A message as [`write`] puts it on a connection.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes.iter_mut().zip(length.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
    Ok(bytes)
}

/// Writes one message.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&frame(message)?).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use learner::federate::ToCoordinator;

    #[tokio::test]
    async fn what_is_written_is_read_and_nothing_else() {
        let message = ToCoordinator::Refuse { reason: "no".into() };
        let bytes = frame(&message).unwrap();
        let taken = async |bytes: &[u8]| read::<ToCoordinator>(&mut &*bytes, 100).await;
        assert_eq!(taken(&bytes).await.unwrap(), message);
        for length in 0..bytes.len() {
            assert!(matches!(taken(&bytes[..length]).await, Err(FrameError::Ended(_))), "{length} bytes");
        }
        assert!(matches!(
            taken(b"\xff\xff\xff\xff").await,
            Err(FrameError::TooLong { length: 0xffff_ffff, most: 100 })
        ));
        for malformed in [&b"\0\0\0\x02{}"[..], b"\0\0\0\x01\xff", b"\0\0\0\0", b"\0\0\0\x09[[[[[[[[["] {
            assert!(matches!(taken(malformed).await, Err(FrameError::Malformed(_))), "{malformed:?}");
        }
    }
}
