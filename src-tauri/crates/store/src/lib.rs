//! SQLite: state.db and telemetry.db, one writer each.
