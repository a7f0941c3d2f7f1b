// The phone in a frame of somebody else's page, which gives it its tokens and works it by messages. Who that
// may be stands in the gateway's configuration, and from there in this page.

import { Bridge } from './sdk/bridge.js';
import { Device } from './sdk/device.js';
import './sdk/element.js';

const meta = /** @type {HTMLMetaElement} */ (document.querySelector('meta[name=frame-origins]'));
const phone = /** @type {import('./sdk/element.js').AstPhone} */ (document.querySelector('ast-phone'));
const wishes = new URLSearchParams(location.search);

const device = new Device(() => bridge.askToken(), {
  allowIncomingWhileBusy: wishes.has('call-waiting'),
  ringtone: wishes.get('ringtone') ?? undefined,
  deviceName: wishes.get('device')?.slice(0, 64) ?? undefined,
});
const bridge = new Bridge(device, { origins: meta.content.split(' ') });
const lang = wishes.get('lang');
if (lang) phone.lang = lang;
phone.device = device;
// What goes wrong is told by the bridge.
device.register().catch(() => {});
