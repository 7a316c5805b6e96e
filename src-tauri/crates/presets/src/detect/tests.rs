#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]
//! A whole machine in a temporary home folder.

use super::*;
use crate::around::doubles::around_with;
use std::os::unix::fs::PermissionsExt as _;

#[tokio::test]
async fn a_home_with_a_project_and_an_api() {
    crate::http::tests_provider();
    let home = tempfile::tempdir().unwrap();
    let app = home.path().join("code/shop");
    std::fs::create_dir_all(app.join("supabase")).unwrap();
    std::fs::write(
        app.join("supabase/config.toml"),
        "project_id = \"shop\"\n[api]\nport = 55321\n",
    )
    .unwrap();
    std::fs::create_dir_all(app.join("api")).unwrap();
    std::fs::write(
        app.join("api/package.json"),
        r#"{"name":"@acme/api","scripts":{"start":"node index.js"},
            "dependencies":{"fastify":"5","@supabase/supabase-js":"2"}}"#,
    )
    .unwrap();
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let tool = |name: &str, script: &str| {
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    tool("cloudflared", "");
    tool(
        "tailscale",
        r#"echo '{"BackendState":"Running","Self":{"DNSName":"studio.ts.net."}}'"#,
    );
    let env = [
        ("PATH".to_owned(), bin.display().to_string()),
        ("DOCKER_HOST".to_owned(), "unix:///no/such.sock".to_owned()),
    ]
    .into();
    let here = around_with(env, Some(home.path().into()), None);
    let before = std::fs::read_dir(home.path()).unwrap().count();
    let found = detect(&here).await;
    let names: Vec<&str> = found.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["supabase", "api", "tunnel", "tailscale"]);
    assert_eq!(
        found[0].evidence,
        "Supabase project shop in ~/code/shop, Docker is not running"
    );
    assert_eq!(found[1].evidence, "@acme/api in ~/code/shop/api (Fastify)");
    assert!(found[1].toml.contains("depends_on = [\"supabase\"]"));
    assert!(found[2].toml.contains("# [services.tunnel]"));
    assert!(
        found[3]
            .evidence
            .ends_with("state Running, as studio.ts.net")
    );
    let text = plan_toml(&found);
    assert!(text.contains("listen = \"127.0.0.1:55321\""), "{text}");
    assert_eq!(
        std::fs::read_dir(home.path()).unwrap().count(),
        before,
        "a dry run writes nothing"
    );
}
