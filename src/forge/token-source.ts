import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import * as z from 'zod'
import { ErrandError } from '../contract/errors.ts'
import { ForgeHttp, type ForgeHttpOptions } from './forge-http.ts'

/** Where the token of requests comes from. May be asked at the same time by many. */
export interface TokenSource {
  /** Undefined or "" for requests without one. Throws where there is none to be had. */
  token(signal?: AbortSignal): Promise<string | undefined>
  /** The forge did not take this one; answers whether `token` may give another. */
  renew?(refused: string | undefined): boolean
  /** Whose it is, where asking with it does not tell (an App's). */
  login?(signal?: AbortSignal): Promise<string | undefined>
  /** Its rights, where it was limited to some. */
  readonly permissions?: Readonly<Record<string, 'read' | 'write'>>
}

/** One that was given, and stays as it is. */
export const givenToken = (token: string | undefined): TokenSource => ({ token: async () => token })

export interface GithubAppOptions
  extends Pick<ForgeHttpOptions, 'fetch' | 'wait' | 'retryCount' | 'timeoutMs'> {
  /** Of the API, such as https://api.github.com */
  apiUrl: string
  appId: string
  /** PEM, PKCS#1 or PKCS#8. */
  privateKey: string
  /** `owner/name`; tokens are good for it alone. */
  repository: string
  permissions: Readonly<Record<string, 'read' | 'write'>>
  now?(): number
}

const Installation = z.object({ id: z.number() })
const InstallationToken = z.object({
  token: z.string().min(1),
  expires_at: z.string().refine((text) => !Number.isNaN(Date.parse(text)), 'is no time'),
})
const App = z.object({ slug: z.string() })

/** So long before its end a token is not given out any more. */
const SPARE_MS = 5 * 60_000

/**
 * Installation tokens of a GitHub App: for one repository and the permissions named, an hour long. One is kept until five minutes
 * before its end; where no new one is to be had that is an error, and the old one is not used. All askers share one request.
 */
export class GithubAppTokens implements TokenSource {
  readonly permissions: Readonly<Record<string, 'read' | 'write'>>
  readonly #options: GithubAppOptions
  readonly #key: KeyObject
  readonly #http: ForgeHttp
  #kept: { token: string; endsMs: number } | undefined
  #asked: Promise<string> | undefined
  #installation: number | undefined
  #login: string | undefined

  constructor(options: GithubAppOptions) {
    this.#options = options
    this.permissions = options.permissions
    try {
      this.#key = createPrivateKey(options.privateKey)
    } catch {
      throw new ErrandError('invalid_argument', `The private key of GitHub App ${options.appId} is no key.`, {
        hint: "Give the whole .pem file that GitHub made for the App, from -----BEGIN to the line of the key's end.",
      })
    }
    if (this.#key.asymmetricKeyType !== 'rsa')
      throw new ErrandError(
        'invalid_argument',
        `The private key of GitHub App ${options.appId} is no RSA key.`,
        {
          hint: 'Give the .pem file that GitHub made for the App.',
        },
      )
    this.#http = new ForgeHttp({
      ...options,
      name: `GitHub at ${new URL(options.apiUrl).host}, asked as App ${options.appId},`,
      tokens: { token: async () => this.#jwt() },
      authorization: (token) => `Bearer ${token}`,
    })
  }

  async token(signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted()
    if (this.#kept !== undefined && this.#kept.endsMs - SPARE_MS > this.#now()) return this.#kept.token
    this.#kept = undefined
    // The signal of one asker does not end what others wait for.
    this.#asked ??= this.#mint().finally(() => {
      this.#asked = undefined
    })
    return await this.#asked
  }

  renew(refused: string | undefined): boolean {
    if (this.#kept?.token === refused) this.#kept = undefined
    return true
  }

  async login(signal?: AbortSignal): Promise<string> {
    this.#login ??= `${(await this.#http.json(App, 'GET', '/app', { signal })).data.slug}[bot]`
    return this.#login
  }

  async #mint(): Promise<string> {
    const { repository, permissions } = this.#options
    const [owner, name] = repository.split('/') as [string, string]
    this.#installation ??= (
      await this.#http.json(
        Installation,
        'GET',
        `/repos/${encodeURIComponent(owner)}/${encodeURIComponent(name)}/installation`,
      )
    ).data.id
    const { data } = await this.#http.json(
      InstallationToken,
      'POST',
      `/app/installations/${this.#installation}/access_tokens`,
      {
        body: { repositories: [name], permissions },
        isRepeatable: true,
        missing: `installation of it at ${owner}`,
      },
    )
    this.#kept = { token: data.token, endsMs: Date.parse(data.expires_at) }
    return data.token
  }

  /** Ten minutes are the most that GitHub takes; a clock that is a minute fast does no harm. */
  #jwt(): string {
    const seconds = Math.floor(this.#now() / 1000)
    const parts = [
      { alg: 'RS256', typ: 'JWT' },
      { iat: seconds - 60, exp: seconds + 540, iss: this.#options.appId },
    ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    const signature = sign('RSA-SHA256', Buffer.from(parts.join('.')), this.#key)
    return [...parts, signature.toString('base64url')].join('.')
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now()
  }
}
