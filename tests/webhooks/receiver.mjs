// A receiver of webhooks as a user would write one, with nothing but Node.
//
//   SECRET=… node receiver.mjs [--refuse N] [--lose N]
//
// Prints its port, and then one line of JSON for each delivery whose signature is good. The first
// N deliveries are answered with 500 (--refuse), or taken and not answered at all (--lose).
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const secret = process.env.SECRET;
const option = (name) => Number(process.argv[process.argv.indexOf(name) + 1] ?? 0) || 0;
let refuse = process.argv.includes('--refuse') ? option('--refuse') : 0;
let lose = process.argv.includes('--lose') ? option('--lose') : 0;

function isGood(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signatures } = headers;
  if (Math.abs(Date.now() / 1000 - Number(time)) > 300) return false;
  const expected = createHmac('sha256', secret).update(`${id}.${time}.${body}`).digest();
  return signatures.split(' ').some((signature) => {
    const [version, value] = signature.split(',');
    const given = Buffer.from(value, 'base64');
    return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

const server = createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const body = Buffer.concat(pieces).toString();
    if (!isGood(request.headers, body)) {
      console.log(JSON.stringify({ forged: true }));
      response.writeHead(401).end();
      return;
    }
    const id = request.headers['webhook-id'];
    if (refuse > 0) {
      refuse -= 1;
      console.log(JSON.stringify({ refused: id }));
      response.writeHead(500).end('not now');
      return;
    }
    console.log(JSON.stringify({ id, body: JSON.parse(body) }));
    if (lose > 0) {
      lose -= 1;
      request.socket.destroy();
      return;
    }
    response.writeHead(204).end();
  });
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => console.log(server.address().port));
// It ends with whoever started it.
process.stdin.resume().on('end', () => process.exit());
