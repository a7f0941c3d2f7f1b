// A hook that keeps a Device as long as its component is there, and draws again when something changes.
// Written without JSX, so that it runs as it is; in a project of yours: import { useEffect … } from 'react'.

/**
 * @param {typeof import('react')} React
 * @param {{Device: any}} sdk
 */
export function makePhone({ createElement: h, useEffect, useReducer, useRef, useState }, { Device }) {
  /** @param {() => Promise<string>} getToken @param {object} [options] */
  function usePhone(getToken, options) {
    const [, redraw] = useReducer((n) => n + 1, 0);
    const [device, setDevice] = useState(null);
    const [error, setError] = useState(null);
    const latest = useRef(getToken);
    latest.current = getToken;
    useEffect(() => {
      // In the effect, not in the render: React's strict mode mounts twice, and each has a device of its own.
      const made = new Device(() => latest.current(), options);
      made.on('change', redraw);
      made.on('error', setError);
      made.register().catch(() => {});
      setDevice(made);
      return () => made.destroy();
    }, []);
    return { device, error, state: device?.state ?? 'unregistered', calls: device?.calls ?? [] };
  }

  function Phone({ getToken }) {
    const { device, state, calls, error } = usePhone(getToken);
    return h('section', { 'aria-label': 'Telephone' },
      h('p', { role: 'status' }, `${state} ${device?.identity ?? ''}`),
      error && h('p', { role: 'alert' }, `${error.code} ${error.message}`),
      calls.map((call) => h('p', { key: call.id },
        `${call.from.name ?? call.from.number ?? call.to} (${call.status()}) `,
        call.status() === 'pending' && h('button', { onClick: () => call.accept() }, 'Answer'),
        h('button', { onClick: () => call.disconnect() }, 'Hang up'))));
  }
  return { usePhone, Phone };
}
