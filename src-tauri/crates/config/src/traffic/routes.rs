//! `[routes.NAME]`.

use cockpit_model::traffic::{RouteSpec, Rules, Target};

use super::{Entry, rules};
use crate::fields::At;
use crate::report::{Finding, Report};
use crate::suggest;

const EXAMPLE: &str = "[\"openai/gpt-4o\", \"ollama/llama3.2\"]";

/// A route as it stands in the file: its providers are not yet known.
pub(super) struct Written {
    name: String,
    path: String,
    targets: Vec<At<Target>>,
    rules: rules::Written,
}

pub(super) fn read(entry: &Entry<'_, '_>) -> Option<Written> {
    let fields = entry.known(&[&["targets"], rules::KEYS].concat());
    let list = fields.texts("targets", EXAMPLE);
    if fields.get("targets").is_none() || list.as_ref().is_some_and(|l| l.value.is_empty()) {
        fields.report.error(
            &fields.key_span("targets"),
            Finding::new(format!("`{}` has no targets", fields.path))
                .suggest(format!("add targets = {EXAMPLE}")),
        );
    }
    let mut targets = Vec::new();
    for target in list.map(|l| l.value).unwrap_or_default() {
        match target.value.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                targets.push(At {
                    value: Target {
                        provider: provider.to_owned(),
                        model: model.to_owned(),
                    },
                    span: target.span,
                });
            }
            _ => fields.report.error(
                &target.span,
                Finding::new(format!(
                    "`{}` must be provider/model",
                    fields.path_of("targets")
                ))
                .suggest(format!("for example targets = {EXAMPLE}")),
            ),
        }
    }
    Some(Written {
        name: entry.name.clone(),
        path: fields.path_of("targets"),
        targets,
        rules: rules::read(&fields),
    })
}

/// The route, once the providers are known.
pub(super) fn judge(
    report: &Report<'_>,
    route: At<Written>,
    providers: &[&str],
    common: &Rules,
) -> RouteSpec {
    let route = route.value;
    for target in &route.targets {
        let provider = target.value.provider.as_str();
        if providers.contains(&provider) {
            continue;
        }
        report.error(
            &target.span,
            Finding::new(format!(
                "`{}` names a provider that does not exist",
                route.path
            ))
            .suggest(
                match suggest::nearest(provider, providers.iter().copied()) {
                    Some(near) => format!("did you mean `{near}/{}`?", target.value.model),
                    None => format!("add [providers.{provider}] with its kind"),
                },
            ),
        );
    }
    RouteSpec {
        name: route.name,
        targets: route.targets.into_iter().map(|t| t.value).collect(),
        rules: route.rules.over(Some(common)),
    }
}
