// POST /chat {question, user} → {id, answer, output_tokens}; POST /feedback {id, thumb, user}; GET /answers;
// GET /health (ready: the database answers); GET /live (the process itself does).
'use strict';

const http = require('node:http');
const { SpanKind, SpanStatusCode } = require('@opentelemetry/api');
const { pool } = require('./database');
const { report } = require('./report');
const { flush, tracer } = require('./tracing');

const MODEL_URL = process.env.MODEL_URL;
const PORT = Number(process.env.PORT);

async function ask(question) {
  const response = await fetch(`${MODEL_URL}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: question }], max_tokens: 24 }),
    signal: AbortSignal.timeout(60_000),
  });
  if (!response.ok) throw new Error(`the model server answered ${response.status}`);
  return response.json();
}

// The request to the model as a span, by OpenTelemetry's conventions.
function traced(question, user) {
  const attributes = {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'llama.cpp',
    'gen_ai.request.model': 'smollm2-135m',
  };
  if (user) attributes['user.id'] = user;
  return tracer.startActiveSpan('chat smollm2-135m', { kind: SpanKind.CLIENT, attributes }, async (span) => {
    try {
      const completion = await ask(question);
      span.setAttributes({
        'gen_ai.usage.input_tokens': completion.usage?.prompt_tokens,
        'gen_ai.usage.output_tokens': completion.usage?.completion_tokens,
        'gen_ai.response.finish_reasons': [completion.choices[0].finish_reason],
      });
      return completion;
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      span.setAttribute('error.type', error.name);
      throw error;
    } finally {
      span.end();
    }
  });
}

async function chat(body) {
  const { question, user } = JSON.parse(body);
  if (typeof question !== 'string' || question === '') return [400, { error: 'question is missing' }];
  const completion = await traced(question, user);
  const answer = completion.choices[0].message.content;
  const tokens = completion.usage?.completion_tokens ?? null;
  const { rows } = await pool.query(
    'INSERT INTO answers (question, answer, output_tokens) VALUES ($1, $2, $3) RETURNING id',
    [question, answer, tokens],
  );
  console.log(`answered question ${rows[0].id} with ${tokens} tokens`);
  return [200, { id: Number(rows[0].id), answer, output_tokens: tokens }];
}

async function feedback(body) {
  const { id, thumb, user } = JSON.parse(body);
  // The id is of the answer: a second thought about it is no second judgement.
  return [200, await report({ type: 'feedback', id: `answer-${id}`, thumb, user })];
}

async function answers() {
  const { rows } = await pool.query('SELECT id, question, answer FROM answers ORDER BY id');
  return [200, rows.map((row) => ({ ...row, id: Number(row.id) }))];
}

async function health() {
  await pool.query('SELECT 1');
  return [200, { ok: true }];
}

async function live() {
  return [200, { ok: true }];
}

const routes = {
  'POST /chat': chat,
  'POST /feedback': feedback,
  'GET /answers': answers,
  'GET /health': health,
  'GET /live': live,
};

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    const route = routes[`${request.method} ${request.url}`];
    let status = 404;
    let body = { error: 'no such path' };
    try {
      if (route) [status, body] = await route(Buffer.concat(chunks).toString('utf8'));
    } catch (error) {
      console.error(`${request.method} ${request.url}: ${error.message}`);
      [status, body] = [error instanceof SyntaxError ? 400 : 502, { error: error.message }];
    }
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  });
});

server.listen(PORT, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${PORT}`));
process.on('SIGTERM', () => {
  server.closeAllConnections();
  server.close(() => Promise.all([pool.end(), flush()]).then(() => process.exit(0)));
});
