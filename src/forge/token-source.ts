import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import * as z from 'zod'
import { ErrandError } from '../contract/errors.ts'
import { ForgeHttp, type ForgeHttpOptions } from './forge-http.ts'

/** Provides the token for requests. Many callers may ask at once. */
export interface TokenSource {
  /** Returns a token, or undefined or "" for requests without one. Throws if none can be obtained. */
  token(signal?: AbortSignal): Promise<string | undefined>
  /** Called when the forge refused this token. Returns whether `token` may give another. */
  renew?(refused: string | undefined): boolean
  /** Returns the login of the owner, if a request with the token cannot tell (an App's). */
  login?(signal?: AbortSignal): Promise<string | undefined>
  /** Rights of the token, if it was limited to some. */
  readonly permissions?: Readonly<Record<string, 'read' | 'write'>>
}

/** Wraps a given token that never changes. */
export const givenToken = (token: string | undefined): TokenSource => ({ token: async () => token })

export interface GithubAppOptions
  extends Pick<ForgeHttpOptions, 'fetch' | 'wait' | 'retryCount' | 'timeoutMs'> {
  /** Address of the API, such as https://api.github.com */
  apiUrl: string
  appId: string
  /** PEM, PKCS#1 or PKCS#8. */
  privateKey: string
  /** `owner/name`; tokens are only valid for it. */
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

/** Milliseconds before its end in which a token is no longer returned. */
const SPARE_MS = 5 * 60_000

/**
 * Provides installation tokens of a GitHub App, for one repository and the given permissions, valid for an hour. A
 * token is reused until five minutes before its end. If no new one can be obtained, that is an error, and the old one
 * is not used. All callers share one request.
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
    // The signal of one caller must not end what others wait for.
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

  /** Signs a JWT. GitHub allows ten minutes at most, and the times tolerate a clock that is a minute fast. */
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
