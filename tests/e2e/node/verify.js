'use strict';

// Verifies posts with @sendgrid/eventwebhook. On stdin {publicKey, posts: [{body (base64), headers}]}, on stdout a list of booleans.

const fs = require('node:fs');
const { EventWebhook, EventWebhookHeader } = require('@sendgrid/eventwebhook');

const { publicKey, posts } = JSON.parse(fs.readFileSync(0, 'utf8'));
const webhook = new EventWebhook();
const key = webhook.convertPublicKeyToECDSA(publicKey);

const accepts = ({ body, headers }) => webhook.verifySignature(
  key,
  Buffer.from(body, 'base64'),
  headers[EventWebhookHeader.SIGNATURE().toLowerCase()],
  headers[EventWebhookHeader.TIMESTAMP().toLowerCase()],
);
process.stdout.write(JSON.stringify(posts.map(accepts)));
