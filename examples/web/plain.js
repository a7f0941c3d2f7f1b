// A telephone with four buttons. The token comes from the address: in a page of yours it comes from your server.

const gateway = new URL(location.href).searchParams.get('gateway') ?? location.origin;
const { Device } = await import(`${gateway}/sdk/index.js`);
const $ = (id) => document.getElementById(id);

const device = new Device(new URLSearchParams(location.hash.slice(1)).get('token'));

function draw() {
  const [call] = device.calls;
  const status = call?.status();
  const who = call ? call.from.name ?? call.from.number ?? call.to ?? 'unknown' : '';
  $('state').textContent = call ? `${status}: ${who}` : `${device.state} ${device.identity} ${device.reason ?? ''}`;
  $('answer').disabled = status !== 'pending';
  $('hold').disabled = status !== 'open' && status !== 'held';
  $('hangup').disabled = !call;
}

device.on('change', draw);
device.on('error', (error) => {
  $('state').textContent = `${error.code} ${error.message}: ${error.solutions.join(', ')}`;
});

$('answer').onclick = () => device.calls[0]?.accept();
$('hangup').onclick = () => device.disconnectAll();
$('hold').onclick = () => device.calls[0]?.hold(!device.calls[0].isHeld());
$('dial').onsubmit = async (event) => {
  event.preventDefault();
  // What is refused comes as an `error`, too, if nobody catches it here.
  await device.connect({ to: new FormData($('dial')).get('to') }).catch((error) => device.emit('error', error));
};

window.device = device;
await device.register();
