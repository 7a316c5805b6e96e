//! `open`: the UI in the browser, signed in.

use std::io::{self, Write};

use crate::cli::args::Common;
use crate::cli::failure::Done;
use crate::cli::sign_in;

pub(in crate::cli) async fn open(common: &Common, print_url: bool) -> Done {
    let url = sign_in::address(&common.client()?, &common.folder()?).await?;
    if print_url {
        writeln!(io::stdout(), "{url}")?;
    } else {
        cockpit_platform::open::url(&url).await?;
    }
    Ok(())
}
