//! Any text as `cockpit.toml`: no panic, a reason for every refusal, remarks inside the file.
#![no_main]

use std::path::Path;

use cockpit_config::{Origin, Unchecked, diff, parse, plan, start_order};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let origin = Origin {
        file: Path::new("/data/cockpit.toml"),
        home: Path::new("/home/ada"),
        files: &Unchecked,
    };
    let remarks = match parse(text, &origin) {
        Ok(config) => {
            assert!(diff(&config, &config).is_empty());
            assert_eq!(start_order(&config.services).len(), config.services.len());
            assert!(!plan(&config).is_empty());
            config.warnings
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            errors
        }
    };
    let lines: Vec<&str> = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .split('\n')
        .collect();
    for remark in remarks {
        let line = lines[remark.line - 1];
        assert!(remark.column >= 1 && remark.column <= line.chars().count() + 1);
    }
});
