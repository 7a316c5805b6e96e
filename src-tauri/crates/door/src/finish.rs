//! Bodies that are not wanted.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;

/// How long the rest of a body may take that is not wanted.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Lets whoever is refused send what is left of a body, up to `most` bytes of it, for a few seconds.
///
/// Most write all they have before they read an answer: were they refused at once, they would hear of a broken
/// connection alone, and send the same again. Whoever announces more than that is refused at once all the same, and so
/// is whoever is slower: they have not read our answer yet, and may never.
pub async fn let_finish<B>(body: B, most: usize)
where
    B: Body<Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    if body.size_hint().lower() > most as u64 {
        return;
    }
    let mut rest = Limited::new(body, most);
    let finished = async { while let Some(Ok(_)) = rest.frame().await {} };
    let _ = tokio::time::timeout(FINISH_TIMEOUT, finished).await;
}
