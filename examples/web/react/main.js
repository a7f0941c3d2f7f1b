// In a project of yours React and the SDK are imports: `import { Device } from '@goastgateway/phone'`.

import { makePhone } from './phone.js';

const gateway = new URL(location.href).searchParams.get('gateway') ?? location.origin;
const { Phone } = makePhone(React, await import(`${gateway}/sdk/index.js`));
const getToken = async () => new URLSearchParams(location.hash.slice(1)).get('token');
ReactDOM.createRoot(document.getElementById('root')).render(React.createElement(React.StrictMode, null, React.createElement(Phone, { getToken })));
