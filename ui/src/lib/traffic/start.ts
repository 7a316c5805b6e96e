/** What a person needs to send the first request. */

import type { Gateway, Service } from '../types';

/** The gateway as its clients write it. */
export function origin(listen: string): string {
  // What listens everywhere is asked here.
  return `http://${listen.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')}`;
}

/** The least that opens a gateway here. */
export function gatewayToml(services: Service[]): string {
  const gateway = '[gateway]\nlisten = "127.0.0.1:11435"\n';
  const ollama = services.find((service) => service.kind === 'ollama');
  if (ollama !== undefined) {
    return `${gateway}\n# ${ollama.name} is a provider already. One more:\n# [providers.openai]\n# kind = "openai"\n# api_key = { env = "OPENAI_API_KEY" }\n`;
  }
  return `${gateway}\n[providers.openai]\nkind = "openai"\napi_key = { env = "OPENAI_API_KEY" }\n`;
}

/** A request that is answered, as far as that can be known from here. */
export function firstRequest(base: string, gateway: Gateway, services: Service[]): string {
  const local = services
    .flatMap((service) =>
      (service.detail?.models ?? []).map((model) => ({ ...model, provider: service.name })),
    )
    .sort((a, b) => Number(b.loaded) - Number(a.loaded))
    .find((model) => gateway.providers.some((p) => p.name === model.provider));
  const provider = gateway.providers[0];
  const model =
    gateway.routes[0]?.name ??
    (local === undefined ? null : `${local.provider}/${local.name}`) ??
    (provider?.kind === 'openai' ? `${provider.name}/gpt-4o-mini` : `${provider?.name ?? 'PROVIDER'}/MODEL`);
  const key = gateway.needs_key ? ' \\\n  -H "authorization: Bearer $COCKPIT_KEY"' : '';
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] });
  return `curl ${base}/v1/chat/completions${key} \\\n  -H "content-type: application/json" \\\n  -d '${body.replaceAll("'", "'\\''")}'`;
}
