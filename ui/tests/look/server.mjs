// Serves the built screens and one scene's answers, with the content security policy of the window, so
// that what is seen here is what the window allows.
//
//   node tests/look/server.mjs [SCENE] [PORT]

import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { noise, scenes } from './scenes.mjs';
import { breaker } from './traffic.mjs';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const TOKEN = 'look';

export function serve(sceneName, port = 0) {
  const scene = scenes[sceneName]();
  let seq = 9_001;

  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const json = (body, status = 200) => {
      response.writeHead(status, {
        'content-type': status < 400 ? 'application/json' : 'application/problem+json',
      });
      response.end(JSON.stringify(body));
    };
    if (!url.pathname.startsWith('/api/')) return file(url.pathname, response);
    if (url.pathname === '/api/sign-in') return json({ token: TOKEN });
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      return json({ code: 'unauthorized', title: 'the bearer token is missing or wrong' }, 401);
    }

    const [, , what, name, verb] = url.pathname.split('/').map(decodeURIComponent);
    const sse = () =>
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const event = (type, body) => {
      response.write(
        `event: ${type}\nid: ${seq}\ndata: ${JSON.stringify({ seq, at: new Date().toISOString(), type, ...body })}\n\n`,
      );
      seq += 1;
    };

    if (url.pathname === '/api/events/stream') {
      sse();
      const timer = setInterval(() => {
        const { series: _, ...now } = scene.host;
        const host = structuredClone(now);
        host.at = new Date().toISOString();
        host.cpu.percent = 25 + noise(seq) * 15;
        host.cpu.cores = host.cpu.cores.map((c, i) =>
          Math.min(100, Math.max(0, c + (noise(seq, i) - 0.5) * 20)),
        );
        event('host', { host });
      }, 1_000);
      return request.on('close', () => clearInterval(timer));
    }
    if (verb === 'logs') {
      if (url.searchParams.get('follow') !== 'true') return json(scene.logs);
      sse();
      for (const line of scene.logs) response.write(`event: line\ndata: ${JSON.stringify(line)}\n\n`);
      return undefined;
    }
    // A scene without traffic is an engine that is too old to know of it.
    const { traffic } = scene;
    if (traffic !== undefined && what === 'usage') return json(traffic.usage(url.searchParams));
    if (traffic !== undefined && what === 'calls') return json(traffic.calls(url.searchParams));
    if (traffic !== undefined && what === 'gateway') return json(traffic.gateway);
    if (traffic !== undefined && what === 'breakers') {
      if (request.method === 'POST') {
        for (const one of traffic.breakers) {
          if (one.provider === name && one.model === verb) Object.assign(one, breaker(`${name}/${verb}`));
        }
      }
      return json(traffic.breakers);
    }
    if (what === 'services' && name === undefined) return json(scene.services);
    if (what === 'services') {
      const service = scene.services.find((s) => s.name === name);
      if (service === undefined)
        return json({ code: 'unknown_service', title: `no service is called ${name}` }, 404);
      if (request.method === 'GET') return json(service);
      return json(
        {
          code: 'action_failed',
          title: `${name} could not be brought to the wanted state`,
          detail: 'a scene does nothing',
          remedy: 'look at its log',
        },
        502,
      );
    }
    if (what === 'events') {
      const of = url.searchParams.get('service');
      return json(scene.events.filter((e) => of === null || e.service === of));
    }
    const answer = { status: scene.status, host: scene.host, detect: scene.plan, login: scene.login }[what];
    return answer === undefined ? json({ code: 'not_found', title: 'no such path' }, 404) : json(answer);
  });
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}

function file(path, response) {
  const at = normalize(join(DIST, path === '/' ? 'index.html' : path));
  if (!at.startsWith(DIST) || !existsSync(at)) {
    response.writeHead(404);
    return response.end();
  }
  response.writeHead(200, {
    'content-type': TYPES[extname(at)] ?? 'application/octet-stream',
    'content-security-policy':
      "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
  });
  return createReadStream(at).pipe(response);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await serve(process.argv[2] ?? 'healthy', Number(process.argv[3] ?? 4710));
  console.log(`http://127.0.0.1:${server.address().port}/#code=look`);
}
