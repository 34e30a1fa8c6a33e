import { ErrandError } from '../../contract/errors.ts'

/** Servers that the operator of a runner lets it speak to, wherever they are: `host`, `host:port` or `http://host:port`. */
export class AllowedOrigins {
  readonly #origins: ReadonlySet<string>

  /** `variable` is where the comma-separated text comes from. Throws `invalid_argument` for what is no server. */
  constructor(text: string, variable: string) {
    const entries = text.split(',').map((entry) => entry.trim())
    this.#origins = new Set(entries.filter((entry) => entry !== '').map((entry) => origin(entry, variable)))
  }

  /** Scheme, host and port are the same; https and its port 443 where nothing else was said. */
  has(url: URL): boolean {
    return this.#origins.has(url.origin)
  }
}

function origin(entry: string, variable: string): string {
  const url = URL.parse(entry.includes('://') ? entry : `https://${entry}`)
  const web = url?.protocol === 'https:' || url?.protocol === 'http:'
  if (web && !entry.includes('*') && url.href === `${url.origin}/`) return url.origin
  throw new ErrandError(
    'invalid_argument',
    `${variable} names ${JSON.stringify(entry)}, which is no server.`,
    {
      hint: 'Write host, host:port or http://host:port, separated by commas.',
    },
  )
}
