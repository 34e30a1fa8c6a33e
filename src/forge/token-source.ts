import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import * as z from 'zod'
import { ErrandError } from '../contract/errors.ts'
import { ForgeHttp, type ForgeHttpOptions } from './forge-http.ts'

/** Provides the token for requests. Several callers may use it at the same time. */
export interface TokenSource {
  /** Returns the token; undefined or "" means requests without one. Throws if none can be obtained. */
  token(signal?: AbortSignal): Promise<string | undefined>
  /** Is called when the forge refused a token; returns whether `token` may return another one. */
  renew?(refused: string | undefined): boolean
  /** Returns the token's owner if the forge's API does not tell it (a GitHub App). */
  login?(signal?: AbortSignal): Promise<string | undefined>
  /** Permissions of the token, if it was limited to some. */
  readonly permissions?: Readonly<Record<string, 'read' | 'write'>>
}

/** Returns a source with one fixed token. */
export const fixedToken = (token: string | undefined): TokenSource => ({ token: async () => token })

export interface GithubAppOptions
  extends Pick<ForgeHttpOptions, 'fetch' | 'wait' | 'retryCount' | 'timeoutMs'> {
  /** URL of the API, such as https://api.github.com */
  apiUrl: string
  appId: string
  /** Private key in PEM, PKCS#1 or PKCS#8. */
  privateKey: string
  /** `owner/name`; tokens are valid only for this repository. */
  repository: string
  permissions: Readonly<Record<string, 'read' | 'write'>>
  now?(): number
}

const Installation = z.object({ id: z.number() })
const InstallationToken = z.object({
  token: z.string().min(1),
  expires_at: z.string().refine((text) => !Number.isNaN(Date.parse(text)), 'is not a valid time'),
})
const App = z.object({ slug: z.string() })

/** Milliseconds before its expiry at which a token is no longer handed out. */
const SPARE_MS = 5 * 60_000

/**
 * Provides installation tokens of a GitHub App, each for one repository and the given permissions, valid for an hour.
 * Reuses a token until five minutes before its expiry. If no new one can be obtained after that, it throws and does not
 * use the old one. Concurrent callers share one request.
 */
export class GithubAppTokens implements TokenSource {
  readonly permissions: Readonly<Record<string, 'read' | 'write'>>
  readonly #options: GithubAppOptions
  readonly #key: KeyObject
  readonly #http: ForgeHttp
  #cached: { token: string; endsMs: number } | undefined
  #request: Promise<string> | undefined
  #installation: number | undefined
  #login: string | undefined

  constructor(options: GithubAppOptions) {
    this.#options = options
    this.permissions = options.permissions
    try {
      this.#key = createPrivateKey(options.privateKey)
    } catch {
      throw new ErrandError(
        'invalid_argument',
        `The private key of GitHub App ${options.appId} is not a valid key.`,
        {
          hint: 'Provide the whole .pem file that GitHub created for the App, from the -----BEGIN line to the -----END line.',
        },
      )
    }
    if (this.#key.asymmetricKeyType !== 'rsa')
      throw new ErrandError(
        'invalid_argument',
        `The private key of GitHub App ${options.appId} is not an RSA key.`,
        {
          hint: 'Provide the .pem file that GitHub created for the App.',
        },
      )
    this.#http = new ForgeHttp({
      ...options,
      name: `GitHub at ${new URL(options.apiUrl).host}, accessed as App ${options.appId},`,
      tokens: { token: async () => this.#jwt() },
      authorization: (token) => `Bearer ${token}`,
    })
  }

  async token(signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted()
    if (this.#cached !== undefined && this.#cached.endsMs - SPARE_MS > this.#now()) return this.#cached.token
    this.#cached = undefined
    // One caller's signal must not end the request that others wait for.
    this.#request ??= this.#mint().finally(() => {
      this.#request = undefined
    })
    return await this.#request
  }

  renew(refused: string | undefined): boolean {
    if (this.#cached?.token === refused) this.#cached = undefined
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
        missing: `installation of this App for ${owner}`,
      },
    )
    this.#cached = { token: data.token, endsMs: Date.parse(data.expires_at) }
    return data.token
  }

  /** Returns a JWT within the ten minutes that GitHub accepts; it tolerates a clock that is a minute fast. */
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
