//! Another site's image: the controller fetches it, and here one looks on.

use std::time::Duration;

use hyper::Method;

use crate::{
    cli::{Session, bar::Bar, client::read, failure::Failure, output::size},
    http::api::image_pulls::{PullBody, PullDoc, PullWord},
    state::image::ImageSpec,
};

/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(300);

/// Has the controller bring it here, and waits until it has.
pub(super) async fn pull(
    image: &ImageSpec,
    site: String,
    name: Option<String>,
    session: &Session<'_>,
) -> Result<(), Failure> {
    let body = PullBody {
        site,
        image: image.to_string(),
        name,
    };
    let begun = session
        .client
        .send(Method::POST, "/image-pulls", &body)
        .await?;
    let mut pull: PullDoc = read(&begun)?;
    let path = format!("/image-pulls/{}", pull.id);
    // In chunks, of which one is as long as another: how many bytes of them travel nobody knows before.
    let mut bar = Bar::new(&format!("{} of {}", pull.image, pull.site), 0);
    let mut here = 0;
    while matches!(pull.state, PullWord::Waiting | PullWord::Running) {
        tokio::time::sleep(LOOK).await;
        pull = read(&session.client.get(&path).await?)?;
        let (done, all) = (pull.chunks_here, pull.chunks);
        bar.note = format!("{done} of {all} chunks here");
        bar.add(pull.new_bytes.saturating_sub(here));
        here = here.max(pull.new_bytes);
    }
    bar.end();
    match (pull.saved, pull.problem) {
        (Some(saved), _) => {
            let new = size(pull.new_bytes);
            eprintln!("{saved} is here; {new} are new in the store");
            Ok(())
        }
        (None, Some(problem)) => Err(Failure::Refused(problem)),
        (None, None) => Err(Failure::Answer("it ended, and nobody says how".to_owned())),
    }
}
