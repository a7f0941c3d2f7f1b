// The content security policy that the gateway serves the page with, read from where it is written.

import { readFileSync } from 'node:fs';

export function policy() {
  const source = readFileSync(new URL('../../src/phone/pages.rs', import.meta.url), 'utf8');
  const [, text] = /const POLICY: &str = "([^"]+)";/.exec(source);
  return text.replace(/\\\n\s*/g, '');
}
