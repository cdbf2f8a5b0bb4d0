// Signs and judges webhooks with Stripe's own library for Node; writes the golden vectors that test_vectors.py reads.
//
//   mkdir /tmp/vectors && cd /tmp/vectors && npm install stripe@23.1.0
//   cp …/tests/ingest/vectors/generate.mjs . && node generate.mjs > …/tests/ingest/vectors/stripe-node.json
//
// Last made with stripe 23.1.0 on Node 20.20.2. Deterministic: the same version gives the same bytes.
import { createHash } from 'node:crypto';
import Stripe from 'stripe';

const NOW = 1790000000;
const TOLERANCE = 300;
let state = 20261123;
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state % below;
};
const pick = (list) => list[random(list.length)];
const hex = (length, salt) => createHash('sha256').update(`${salt}${random(1 << 30)}`).digest('hex').slice(0, length);

const types = ['payment_intent.succeeded', 'charge.refunded', 'checkout.session.completed', 'invoice.paid', 'brand_new.type'];
const texts = ['Zoë & Søn', '日本語の領収書', '🧾 receipt', 'tab\tnewline\n', '\u0000', '\ud800 alone', 'plain', 'a="b",c'];

const event = (n) => {
  const body = {
    id: `evt_${hex(24, n)}`,
    object: 'event',
    api_version: '2026-10-28.endive',
    created: NOW - random(100000),
    livemode: random(2) === 1,
    type: pick(types),
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    data: { object: { id: `pi_${hex(24, n)}`, object: 'payment_intent', amount: random(100000), description: pick(texts) } },
  };
  return JSON.stringify(body, null, pick([0, 2]));
};

const secretOf = (n) => `whsec_${hex(32, `secret${n}`)}`;
const header = (payload, secret, timestamp) => Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });

const flip = (text) => {
  const at = random(text.length);
  const code = text.charCodeAt(at);
  return text.slice(0, at) + String.fromCharCode(code < 128 ? (code ^ 1) || 1 : code) + (code < 128 ? '' : '!') + text.slice(at + 1);
};
const withoutV1 = (h) => h.replace('v1=', 'v0=');

const ways = {
  as_signed: (v) => v,
  signed_at_the_edge: (v) => ({ ...v, header: header(v.body, v.secret, NOW - TOLERANCE) }),
  just_too_old: (v) => ({ ...v, header: header(v.body, v.secret, NOW - TOLERANCE - 1) }),
  a_day_old: (v) => ({ ...v, header: header(v.body, v.secret, NOW - 86400) }),
  little_ahead: (v) => ({ ...v, header: header(v.body, v.secret, NOW + TOLERANCE) }),
  while_rolling: (v) => ({ ...v, header: `${header(v.body, `${v.secret}old`, NOW)},v1=${header(v.body, v.secret, NOW).split('v1=')[1]}` }),
  with_v0_too: (v) => ({ ...v, header: `${v.header},v0=${hex(64, 'v0')}` }),
  only_v0: (v) => ({ ...v, header: withoutV1(v.header) }),
  body_changed: (v) => ({ ...v, body: flip(v.body) }),
  body_longer: (v) => ({ ...v, body: `${v.body} ` }),
  body_shorter: (v) => ({ ...v, body: v.body.slice(0, -1) }),
  header_changed: (v) => ({ ...v, header: flip(v.header) }),
  header_cut: (v) => ({ ...v, header: v.header.slice(0, random(v.header.length)) }),
  time_moved: (v) => ({ ...v, header: v.header.replace(/t=\d+/, `t=${NOW - 1}`) }),
  upper_case: (v) => ({ ...v, header: v.header.replace(/v1=.*/, (s) => `v1=${s.slice(3).toUpperCase()}X`) }),
  no_time: (v) => ({ ...v, header: v.header.replace(/t=\d+,/, '') }),
  other_secret: (v) => ({ ...v, secret: `${v.secret}x` }),
  secret_in_upper_case: (v) => ({ ...v, secret: v.secret.toUpperCase() }),
  no_header: (v) => ({ ...v, header: '' }),
};

const judge = ({ body, header: h, secret }) => {
  try {
    return Stripe.webhooks.signature.verifyHeader(Buffer.from(body, 'utf8'), h, secret, TOLERANCE, undefined, NOW * 1000);
  } catch {
    return false;
  }
};

const vectors = [];
for (let n = 0; n < 16; n += 1) {
  const body = Buffer.from(event(n), 'utf8').toString('utf8');
  const secret = secretOf(n);
  const signed = { body, secret, header: header(body, secret, NOW - random(TOLERANCE)) };
  for (const [way, change] of Object.entries(ways)) {
    const vector = change(signed);
    vectors.push([way, vector.header, vector.secret, vector.body, judge(vector)]);
  }
}

const rows = vectors.map((row) => JSON.stringify(row)).join(',\n');
const made = JSON.stringify({ library: `stripe ${Stripe.PACKAGE_VERSION}`, node: process.version, now: NOW, tolerance: TOLERANCE });
process.stdout.write(`{"made_with": ${made},\n"columns": ["way", "header", "secret", "body", "accepted"],\n"vectors": [\n${rows}\n]}\n`);
