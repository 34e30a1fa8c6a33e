import { ErrandError } from '../../contract/errors.ts'

const schemes: Readonly<Record<string, string>> = {
  'http:': 'ws:',
  'https:': 'wss:',
  'ws:': 'ws:',
  'wss:': 'wss:',
}

/** Returns the URL of the link for a hub's URL, whose path is kept. */
export function linkUrl(hubUrl: string): URL {
  const hint = 'Set ERRAND_HUB_URL to the address of the hub, like https://errand.example.com.'
  if (!URL.canParse(hubUrl)) throw new ErrandError('invalid_argument', `"${hubUrl}" is not a URL.`, { hint })
  const url = new URL(hubUrl)
  const scheme = schemes[url.protocol]
  if (scheme === undefined)
    throw new ErrandError('invalid_argument', `"${hubUrl}" is not an http or https URL.`, { hint })
  url.protocol = scheme
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/runner-link`
  url.search = ''
  url.hash = ''
  return url
}

/** Reports whether no intermediary can read the traffic: it is encrypted, or never leaves this machine. */
export function isSheltered({ protocol, hostname }: URL): boolean {
  return protocol === 'wss:' || /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}
