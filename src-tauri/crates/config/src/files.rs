//! The questions the configuration asks of the disk, and what its paths mean.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::{Origin, absolute};

/// What validation needs to know of the disk.
pub trait Files {
    /// Whether there is anything at this path.
    fn exists(&self, path: &Path) -> bool;

    /// Whether a service can run in this folder.
    ///
    /// # Errors
    /// Why not, as the end of a sentence.
    fn folder(&self, path: &Path) -> Result<(), String>;

    /// Whether this is a readable dotenv file.
    ///
    /// # Errors
    /// Why not, as the end of a sentence; never a line of it, since it holds secrets.
    fn dotenv(&self, path: &Path) -> Result<(), String>;
}

/// The real disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

/// Believes that everything is there: for texts whose machine is not this one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unchecked;

impl Files for Unchecked {
    fn exists(&self, _path: &Path) -> bool {
        true
    }

    fn folder(&self, _path: &Path) -> Result<(), String> {
        Ok(())
    }

    fn dotenv(&self, _path: &Path) -> Result<(), String> {
        Ok(())
    }
}

impl Files for Disk {
    fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    fn folder(&self, path: &Path) -> Result<(), String> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err("is not a folder".to_owned()),
            Err(error) => Err(reason(&error)),
        }
    }

    fn dotenv(&self, path: &Path) -> Result<(), String> {
        let bytes = bytes(path, 1 << 20)?;
        let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
        check_dotenv(&text)
    }
}

/// Whether a text is a dotenv file: `NAME=value` lines, `#` comments.
fn check_dotenv(text: &str) -> Result<(), String> {
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok(_) => {}
            Err(dotenvy::Error::LineParse(line, _)) => {
                // The parser gives the line, not its number.
                let number = text
                    .lines()
                    .position(|l| !line.is_empty() && l.contains(line.lines().next().unwrap_or("")))
                    .map_or_else(String::new, |at| format!(" in line {}", at + 1));
                return Err(format!("is not a list of NAME=value{number}"));
            }
            Err(_) => return Err("cannot be read to its end".to_owned()),
        }
    }
    Ok(())
}

/// A configuration file's text, or where and why there is none.
pub(crate) fn read(
    path: &Path,
    longest: u64,
) -> Result<String, (usize, usize, String, Option<String>)> {
    let failed = |why: String| {
        let message = format!("the configuration file {why}");
        let suggestion = if fs::symlink_metadata(path).is_ok() {
            "make it a text file that you can read".to_owned()
        } else {
            "let `studio-cockpit init --write` begin one, or name another with --config".to_owned()
        };
        (1, 1, message, Some(suggestion))
    };
    let bytes = bytes(path, longest).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before =
            String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (
            line,
            column,
            "the configuration file is not UTF-8 text".to_owned(),
            Some("save it with the encoding UTF-8".to_owned()),
        )
    })
}

fn bytes(path: &Path, longest: u64) -> Result<Vec<u8>, String> {
    // Opening a named pipe would wait for its writer.
    let meta = fs::metadata(path).map_err(|error| reason(&error))?;
    if !meta.is_file() {
        return Err("is not a file".to_owned());
    }
    let file = fs::File::open(path).map_err(|error| reason(&error))?;
    let mut bytes = Vec::new();
    file.take(longest + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| reason(&error))?;
    if bytes.len() as u64 > longest {
        return Err(format!("is larger than {}", crate::format_size(longest)));
    }
    Ok(bytes)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by you".to_owned(),
        _ => format!("cannot be read ({error})"),
    }
}

/// What the file's paths mean.
pub(crate) struct Paths<'a> {
    /// The folder of the configuration file.
    pub(crate) folder: PathBuf,
    home: PathBuf,
    pub(crate) files: &'a dyn Files,
}

impl<'a> Paths<'a> {
    pub(crate) fn new(origin: &Origin<'a>) -> Self {
        let file = absolute(origin.file);
        Self {
            folder: file.parent().unwrap_or(&file).to_owned(),
            home: origin.home.to_owned(),
            files: origin.files,
        }
    }

    /// `~` and `~/…` as the home folder; anything else as it is.
    pub(crate) fn expand(&self, text: &str) -> PathBuf {
        match text.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) if rest.starts_with('/') => self.home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(text),
        }
    }

    /// A path of the file, absolute.
    pub(crate) fn resolve(&self, text: &str) -> PathBuf {
        self.resolve_in(&self.folder, text)
    }

    /// A path relative to some folder, absolute, without `.` parts.
    pub(crate) fn resolve_in(&self, folder: &Path, text: &str) -> PathBuf {
        folder
            .join(self.expand(text))
            .components()
            .collect::<PathBuf>()
    }
}
