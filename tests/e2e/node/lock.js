'use strict';

// The lock file names no host: where packages come from is the registry's and the machine's business (npm's own option leaves `funding` in).

const fs = require('node:fs');
const path = require('node:path');

const file = path.join(__dirname, 'package-lock.json');
const lock = JSON.parse(fs.readFileSync(file, 'utf8'));
for (const entry of Object.values(lock.packages)) {
  delete entry.funding;
}
fs.writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
