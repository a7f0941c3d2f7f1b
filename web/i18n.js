// The words of the page, in English and Japanese.

export const WORDS = {
  en: {
    product: 'Phone',
    extension: 'Extension {ext}',
    otherLanguage: '日本語',
    login: 'Log in',
    logout: 'Log out',
    tokenLabel: 'Your login link or token',
    loginHelp: 'You get the link from whoever runs your telephone system.',
    notAToken: 'This is neither a login link nor a token.',
    offline: 'Not logged in',
    connecting: 'Connecting',
    ready: 'Ready',
    ringing: 'Incoming call',
    'in-call': 'In call',
    reconnecting: 'Reconnecting',
    busy: 'Already in use',
    replaced: 'Replaced',
    refused: 'Not let in',
    readyDetail: 'Waiting for calls',
    connectingDetail: 'Logging in to the telephone system',
    ringingDetail: 'Somebody is calling you',
    'ended.caller': 'The other side hung up · {time}',
    'ended.hangup': 'Call ended · {time}',
    'ended.declined': 'You declined the call',
    'ended.missed': 'Missed call at {clock}',
    'ended.late': 'The call was already gone or taken',
    'ended.lost': 'The call was cut off: the connection was lost · {time}',
    'lost.unreachable': 'The telephone system does not answer.',
    'lost.closed': 'The connection was lost.',
    'lost.limited': 'Too many tries; the telephone system asks to wait.',
    'lost.upgrade': 'The server answers, but did not let the telephone through. If this lasts, a proxy is in the way or this page is not in allowed_origins.',
    'lost.forbidden': 'This address is not allowed to log in here. Ask whoever runs your telephone system.',
    'lost.server': 'The telephone system is starting or closing down.',
    nextTry: 'Next try in {seconds} s',
    tryingNow: 'Trying now …',
    'stopped.busy': 'This extension is logged in on another device or tab. Log out there, then try again.',
    'stopped.kicked': 'This extension has logged in on another device or tab.',
    'stopped.token': 'The login has expired or was refused. Ask for a new link.',
    'stopped.expired': 'The login has expired. Ask for a new link.',
    tryNow: 'Try now',
    tryAgain: 'Try again',
    useHere: 'Use the phone here',
    newLogin: 'Log in again',
    answer: 'Answer',
    decline: 'Decline',
    hangup: 'Hang up',
    mute: 'Mute',
    unmute: 'Unmute',
    microphone: 'Microphone',
    speaker: 'Speaker',
    muted: 'Muted',
    stats: 'Buffer {delay} ms · dropped {dropped}',
    enableSound: 'Click to enable sound',
    soundBlocked: 'The browser keeps sound off until you click.',
    soundUnsupported: 'This browser cannot play calls. Use a current Chrome, Edge, Firefox or Safari.',
    soundFailed: 'The sound could not be loaded from the telephone system.',
    allowMic: 'Allow the microphone',
    'mic.prompt': 'The phone may not use your microphone yet.',
    'mic.denied': 'The microphone is blocked: callers will not hear you. Allow it in the address bar.',
    'mic.none': 'No microphone was found: callers will not hear you. Plug one in.',
    'mic.in-use': 'Another program holds the microphone. Close it and try again.',
    'mic.insecure': 'Browsers give the microphone only to https pages. Open this page with https.',
    'mic.failed': 'The microphone could not be opened.',
    again: 'Try again',
    notify: 'Show a notification when it rings?',
    allowNotify: 'Allow',
    expires: 'Your login ends at {clock}. Ask for a new link.',
    expired: 'Your login is no longer valid. You stay connected, but cannot come back without a new link.',
  },
  ja: {
    product: '電話',
    extension: '内線 {ext}',
    otherLanguage: 'English',
    login: 'ログイン',
    logout: 'ログアウト',
    tokenLabel: 'ログイン用リンクまたはトークン',
    loginHelp: 'リンクは電話システムの管理者から受け取ってください。',
    notAToken: 'ログイン用リンクまたはトークンではありません。',
    offline: '未ログイン',
    connecting: '接続中',
    ready: '待受中',
    ringing: '着信中',
    'in-call': '通話中',
    reconnecting: '再接続中',
    busy: '使用中の内線です',
    replaced: '別の端末に切替',
    refused: 'ログインできません',
    readyDetail: '着信を待っています',
    connectingDetail: '電話システムにログインしています',
    ringingDetail: '電話がかかってきました',
    'ended.caller': '相手が電話を切りました・{time}',
    'ended.hangup': '通話終了・{time}',
    'ended.declined': '着信を拒否しました',
    'ended.missed': '不在着信 {clock}',
    'ended.late': '他の人が応答したか、相手が切りました',
    'ended.lost': '接続が切れたため通話が終了しました・{time}',
    'lost.unreachable': '電話システムが応答しません。',
    'lost.closed': '接続が切れました。',
    'lost.limited': '接続の試行が多すぎるため、しばらく待ちます。',
    'lost.upgrade': 'サーバーは応答しますが、電話の接続が通りませんでした。続く場合は、プロキシか allowed_origins の設定を確認してください。',
    'lost.forbidden': 'このアドレスからのログインは許可されていません。電話システムの管理者に確認してください。',
    'lost.server': '電話システムが起動中または停止中です。',
    nextTry: '{seconds} 秒後に再試行します',
    tryingNow: '接続を試みています…',
    'stopped.busy': 'この内線は別の端末またはタブで使用中です。そちらでログアウトしてから再試行してください。',
    'stopped.kicked': 'この内線は別の端末またはタブでログインしました。',
    'stopped.token': 'ログインの有効期限が切れたか、拒否されました。新しいリンクを受け取ってください。',
    'stopped.expired': 'ログインの有効期限が切れました。新しいリンクを受け取ってください。',
    tryNow: '今すぐ再試行',
    tryAgain: '再試行',
    useHere: 'この端末で使う',
    newLogin: 'ログインし直す',
    answer: '応答',
    decline: '拒否',
    hangup: '切る',
    mute: 'ミュート',
    unmute: 'ミュート解除',
    microphone: 'マイク',
    speaker: 'スピーカー',
    muted: 'ミュート中',
    stats: 'バッファ {delay} ms・破棄 {dropped}',
    enableSound: 'クリックして音を有効にする',
    soundBlocked: 'クリックするまでブラウザが音を止めています。',
    soundUnsupported: 'このブラウザでは通話できません。最新の Chrome、Edge、Firefox、Safari をお使いください。',
    soundFailed: '電話システムから音声機能を読み込めませんでした。',
    allowMic: 'マイクを許可する',
    'mic.prompt': 'マイクの使用がまだ許可されていません。',
    'mic.denied': 'マイクがブロックされています。相手に声が届きません。アドレスバーで許可してください。',
    'mic.none': 'マイクが見つかりません。相手に声が届きません。マイクを接続してください。',
    'mic.in-use': '別のプログラムがマイクを使用しています。終了してから再試行してください。',
    'mic.insecure': 'マイクは https のページでのみ使用できます。https で開いてください。',
    'mic.failed': 'マイクを開けませんでした。',
    again: '再試行',
    notify: '着信を通知で知らせますか？',
    allowNotify: '許可する',
    expires: 'ログインは {clock} に期限が切れます。新しいリンクを受け取ってください。',
    expired: 'ログインは無効になりました。接続は続きますが、切れると新しいリンクが必要です。',
  },
};

/** @typedef {'en' | 'ja'} Language */

const KEY = 'goastgateway.language';

/** @returns {Language} the one chosen before, else the browser's */
function preferred() {
  const chosen = sessionStorage.getItem(KEY);
  if (chosen === 'en' || chosen === 'ja') return chosen;
  return navigator.language?.toLowerCase().startsWith('ja') ? 'ja' : 'en';
}

/** @type {Language} */
let language = preferred();

export function getLanguage() {
  return language;
}

/** @param {Language} wanted */
export function setLanguage(wanted) {
  language = wanted;
  sessionStorage.setItem(KEY, wanted);
}

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values] for the `{names}` in the text
 */
export function t(key, values = {}) {
  const text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** @param {number} ms since 1970 */
export function clock(ms) {
  return new Date(ms).toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' });
}

/** mm:ss, or h:mm:ss from an hour on. @param {number} ms */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ''}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
