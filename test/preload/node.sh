#!/bin/bash
# node, if it is here: a garbage-collected runtime with its own threads, workers, buffers and compression. Not required: it is no
# part of a plain Debian.
source "$(dirname "$0")/lib.sh"
MOAT_TEST_REQUIRE_ALL=0 need node nodejs
cat >work.js <<'JS'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');
if (isMainThread) {
  const map = new Map();
  for (let i = 0; i < 200000; i++) map.set('k' + ((i * 7919) % 50021), { i, list: [i, i + 1] });
  console.log('map', map.size);
  let buffers = [];
  for (let i = 0; i < 2000; i++) { buffers.push(Buffer.alloc(i * 16 + 1, i & 255)); if (i % 3 == 0) buffers.shift(); }
  console.log('buffers', crypto.createHash('sha256').update(Buffer.concat(buffers)).digest('hex'));
  buffers = null;
  const packed = zlib.deflateSync(JSON.stringify([...map.entries()]));
  console.log('zlib', zlib.inflateSync(packed).length);
  const results = [];
  let left = 4;
  for (let n = 0; n < 4; n++) {
    const worker = new Worker(__filename, { workerData: n });
    worker.on('message', (m) => results.push(m));
    worker.on('exit', (code) => {
      if (code !== 0) process.exitCode = 1;
      if (--left === 0) console.log('workers', results.sort().join(' '));
    });
  }
} else {
  let text = '';
  for (let i = 0; i < 20000; i++) text += String.fromCharCode(97 + ((i * (workerData + 3)) % 26));
  zlib.gzip(text, (error, data) => parentPort.postMessage(workerData + ':' + zlib.gunzipSync(data).length));
}
JS
twice node ../work.js
printed "workers 0:20000 1:20000 2:20000 3:20000"
under_moat 'node.*'
passed
