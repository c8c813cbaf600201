// Reads frames of HTTP drains with npm's glossy; prints its port, then a line of JSON a message.
'use strict';
const http = require('http');
const glossy = require('glossy');

function frames(body) {
  const found = [];
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(' ', at);
    const end = space + 1 + Number(body.toString('latin1', at, space));
    found.push(body.subarray(space + 1, end).toString('utf8'));
    at = end;
  }
  return found;
}

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    for (const frame of frames(Buffer.concat(pieces))) {
      const read = glossy.Parse.parse(frame);
      console.log(JSON.stringify({
        path: request.url,
        procid: read.pid || '-',
        sd: Object.keys(read.structuredData || {}),
        text: (read.message || '').replace(/\n$/, ''),
      }));
    }
    response.writeHead(204).end();
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
