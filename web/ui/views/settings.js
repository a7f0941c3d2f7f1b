// What a person can choose. Each choice holds at once; there is nothing to save.

import { say, t } from '../../i18n.js';
import { h } from '../dom.js';
import { DEVICE_NAME_LENGTH, RING_COUNTRIES, THEMES, WRAPUP_SECONDS } from '../prefs.js';
import { button, icon } from './parts.js';

/** A dialog with a heading and a way out. */
export function dialog(name, title, act, ...content) {
  return h('dialog', {
    key: name,
    id: name,
    'aria-labelledby': `${name}-title`,
    // Escape and the like; and a click beside it. (Nothing is returned: false would undo the click.)
    onclose: () => act('closeDialog'),
    onclick: (event) => {
      if (event.target.tagName === 'DIALOG') act('closeDialog');
    },
  }, h('div.sheet', { key: 'sheet' },
    h('header', { key: 'head' },
      h('h2', { id: `${name}-title`, tabindex: -1, autofocus: true }, title),
      h('button.tool', { key: 'close', type: 'button', 'data-close': '', title: t('do.close'), 'aria-label': t('do.close'), onclick: () => act('closeDialog') }, icon('close'))),
    ...content));
}

export function settings(screen, act) {
  return dialog('settings-dialog', t('do.settings'), act,
    sound(screen, act), ringing(screen, act), callsGroup(screen, act), page(screen, act), where(screen, act));
}

function sound({ phone, ui, testing }, act) {
  const { inputs, outputs, canChooseOutput } = phone.audio;
  const unnamed = [...inputs, ...outputs].some((d) => !d.label);
  return group('settings.sound', [
    devices('microphone', inputs, ui.prefs, act),
    h('div.field', { key: 'level' },
      h('span', null, t('settings.level')),
      h('span.control', null, h('span.track', { 'aria-hidden': 'true' }, h('span.fill', { id: 'test-level' })),
        button(t('do.testMic'), { key: 'test-mic', id: 'test-mic', class: 'link', 'aria-pressed': String(testing === 'mic'), onclick: () => act('testMic') }))),
    canChooseOutput ? devices('speaker', outputs, ui.prefs, act, button(t('do.test'), { key: 'test', id: 'test-speaker', class: 'link', onclick: () => act('testSpeaker') })) : null,
    canChooseOutput ? null : h('p.help', { key: 'no-output' }, t('settings.noOutput'), ' ', button(t('do.test'), { key: 'test', id: 'test-speaker', class: 'link', onclick: () => act('testSpeaker') })),
    unnamed ? h('p.help', { key: 'unnamed' }, t('settings.noNames'), ' ', phone.audio.secure ? button(t('do.allowMic'), { key: 'allow', class: 'link', onclick: () => act('askForMic') }) : null) : null,
    h('fieldset.checks', { key: 'processing' }, h('legend', null, t('settings.processing')),
      ['echoCancellation', 'noiseSuppression', 'autoGainControl'].map((name) => check(name, ui.prefs, act))),
  ]);
}

function ringing({ phone, ui }, act) {
  const { outputs, canChooseOutput } = phone.audio;
  return group('settings.ring', [
    canChooseOutput ? devices('ringer', outputs, ui.prefs, act) : null,
    choice('ringCountry', ['', ...RING_COUNTRIES], (v) => t(`ring.${v || 'auto'}`), ui.prefs, act,
      button(t('do.test'), { key: 'test', id: 'test-ring', class: 'link', onclick: () => act('testRing') })),
    h('div.field', { key: 'volume' },
      h('label', { for: 'set-ringVolume' }, t('settings.ringVolume')),
      h('span.control', null, h('input', { id: 'set-ringVolume', type: 'range', min: 0, max: 100, step: 5, value: String(Math.round(ui.prefs.ringVolume * 100)), oninput: (e) => act('set', ['ringVolume', Number(e.target.value) / 100]) }))),
  ]);
}

function callsGroup({ ui }, act) {
  return group('settings.calls', [
    check('callWaiting', ui.prefs, act),
    check('autoWrapup', ui.prefs, act),
    choice('wrapupSeconds', WRAPUP_SECONDS, (n) => (n === 0 ? t('settings.untilReady') : n < 60 ? t('settings.seconds', { n }) : t('settings.minutes', { n: n / 60 })), ui.prefs, act),
  ]);
}

function page({ ui }, act) {
  const ask = ui.notifications === 'default';
  return group('settings.page', [
    choice('language', ['', 'en', 'ja'], (v) => ({ '': t('theme.system'), en: 'English', ja: '日本語' })[v], ui.prefs, act),
    choice('theme', THEMES, (v) => t(`theme.${v}`), ui.prefs, act),
    h('div.field', { key: 'notify' },
      h('span', null, t('settings.notifications')),
      h('span.control', null, ask
        ? button(t('do.allowNotify'), { key: 'ask', class: 'link', onclick: () => act('allowNotify') })
        : h('span.value', { key: 'is' }, say([`notifications.${ui.notifications}`])))),
    ui.notifications === 'granted' ? check('notifyAnswers', ui.prefs, act) : null,
    check('shortcuts', ui.prefs, act),
  ]);
}

/** Which device this is, and where else the extension is logged in. */
function where({ phone, ui }, act) {
  if (!ui.loggedIn) return null;
  const { devices } = phone;
  const own = devices.find((device) => device.isThis)?.name ?? '';
  return group('settings.devices', [
    h('div.field', { key: 'name' },
      h('label', { for: 'set-deviceName' }, t('settings.deviceName')),
      h('span.control', null, h('input', {
        id: 'set-deviceName', type: 'text', 'data-own': '', maxlength: DEVICE_NAME_LENGTH, placeholder: own, value: ui.prefs.deviceName,
        onchange: (e) => act('set', ['deviceName', e.target.value.trim()]),
      }))),
    devices.length === 0 ? null : h('ul.where', { key: 'where' }, devices.map((device, i) => h('li', { key: `device-${i}` },
      h('span', { key: 'name' }, device.name ?? t('settings.unnamedDevice')),
      h('span.help', { key: 'since' }, device.isThis ? t('settings.thisDevice') : t('settings.since', { clock: { clock: device.since.getTime() } }))))),
  ]);
}

function group(title, fields) {
  return h('section.group', { key: title }, h('h3', { key: 'title' }, t(title)), fields);
}

function check(name, prefs, act) {
  return h('label.check', { key: name, for: `set-${name}` },
    h('input', { id: `set-${name}`, type: 'checkbox', role: 'switch', checked: prefs[name], onchange: (e) => act('set', [name, e.target.checked]) }),
    h('span', null, t(`settings.${name}`)));
}

function choice(name, values, word, prefs, act, extra = null) {
  return h('div.field', { key: name },
    h('label', { for: `set-${name}` }, t(`settings.${name}`)),
    h('span.control', null,
      h('select', {
        id: `set-${name}`, value: String(prefs[name]),
        onchange: (e) => act('set', [name, values.find((v) => String(v) === e.target.value)]),
      }, values.map((v) => h('option', { key: `v-${v}`, value: String(v) }, word(v)))), extra));
}

function devices(name, list, prefs, act, extra = null) {
  // One that was chosen and is not plugged in now stays chosen, for when it is.
  const known = list.some((d) => d.id === prefs[name]);
  const value = known ? prefs[name] : '';
  return h('div.field', { key: name },
    h('label', { for: `set-${name}` }, t(`settings.${name}`)),
    h('span.control', null,
      h('select', { id: `set-${name}`, value, onchange: (e) => act('set', [name, e.target.value]) },
        h('option', { key: 'system', value: '' }, t('settings.systemDevice')),
        list.filter((d) => d.id && d.id !== 'default').map((d, i) => h('option', { key: d.id, value: d.id }, d.label || t('settings.unnamed', { n: i + 1 })))), extra));
}
