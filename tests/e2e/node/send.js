'use strict';

// Sends one mail with @sendgrid/mail. On stdin {api, key, mail, multiple}, on stdout {status, headers, body}.

const fs = require('node:fs');
const sendgrid = require('@sendgrid/mail');

const { api, key, mail, multiple } = JSON.parse(fs.readFileSync(0, 'utf8'));
sendgrid.setApiKey(key);
sendgrid.client.setDefaultRequest('baseUrl', api);

const tell = (status, headers, body) => process.stdout.write(JSON.stringify({ status, headers, body }));

sendgrid.send(mail, Boolean(multiple)).then(
  ([response]) => tell(response.statusCode, response.headers, response.body),
  (error) => tell(error.code, error.response && error.response.headers, error.response && error.response.body),
);
