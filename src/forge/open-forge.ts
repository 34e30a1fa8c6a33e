import * as z from 'zod'
import { ErrandError } from '../contract/errors.ts'
import type { ForgeHost, ForgeKind } from '../contract/tasks/forge.ts'
import type { RepositoryAddress } from './address.ts'
import type { CallOptions, Forge } from './forge.ts'
import { ForgeHttp, type ForgeHttpOptions } from './forge-http.ts'
import { GithubLikeForge } from './github-like.ts'
import { GitlabForge } from './gitlab.ts'
import type { TokenSource } from './token-source.ts'

export interface Recognised {
  kind: ForgeKind
  host: string
  apiUrl: string
  /** Way in which the forge was recognised, for messages. */
  by: 'configuration' | 'name' | 'probe'
}

const publicHosts: readonly ForgeHost[] = [
  { host: 'github.com', kind: 'github', api_url: 'https://api.github.com' },
  { host: 'gitlab.com', kind: 'gitlab' },
  { host: 'gitea.com', kind: 'gitea' },
  { host: 'codeberg.org', kind: 'gitea' },
]
const apiPaths: Readonly<Record<ForgeKind, string>> = {
  github: '/api/v3',
  gitea: '/api/v1',
  gitlab: '/api/v4',
}

/** Header value with the token for each kind of forge; GitLab accepts all kinds of tokens in this form. */
const authorizations: Readonly<Record<ForgeKind, (token: string) => string>> = {
  github: (token) => `Bearer ${token}`,
  gitea: (token) => `token ${token}`,
  gitlab: (token) => `Bearer ${token}`,
}
const names: Readonly<Record<ForgeKind, string>> = { github: 'GitHub', gitea: 'Gitea', gitlab: 'GitLab' }

/**
 * Path of the probe for each kind, and the shape of that forge's answer. A forge that requires a login says so in JSON.
 */
const probes: readonly [ForgeKind, string, z.ZodType][] = [
  [
    'gitea',
    '/api/v1/version',
    z.union([z.object({ version: z.string() }), z.object({ message: z.string() })]),
  ],
  [
    'gitlab',
    '/api/v4/version',
    z.union([z.object({ version: z.string() }), z.object({ message: z.string() })]),
  ],
  [
    'github',
    '/api/v3',
    z.union([z.object({ current_user_url: z.string() }), z.object({ message: z.string() })]),
  ],
]

type RecogniseOptions = CallOptions & {
  hosts?: readonly ForgeHost[]
  fetch?: typeof globalThis.fetch
  /** Timeout of each probe in milliseconds; default 10,000. */
  probeTimeoutMs?: number
}

/**
 * Finds the forge of a repository: by configuration, by the name of the host, or by probing the host without a token.
 */
export async function recogniseForge(
  address: RepositoryAddress,
  options: RecogniseOptions = {},
): Promise<Recognised> {
  const { host, protocol } = address
  const named = (known: readonly ForgeHost[]) => known.find((one) => one.host.toLowerCase() === host)
  const configured = named(options.hosts ?? [])
  const known = configured ?? named(publicHosts)
  if (known !== undefined) {
    const apiUrl = known.api_url ?? `${protocol}://${host}${apiPaths[known.kind]}`
    return {
      kind: known.kind,
      host,
      apiUrl: apiUrl.replace(/\/+$/, ''),
      by: configured ? 'configuration' : 'name',
    }
  }
  const answers = await Promise.all(
    probes.map(async ([kind, path, shape]) => ({
      kind,
      answer: await probe(`${protocol}://${host}${path}`, shape, options),
    })),
  )
  options.signal?.throwIfAborted()
  const found = answers.find(({ answer }) => answer === 'it')
  if (found !== undefined)
    return { kind: found.kind, host, apiUrl: `${protocol}://${host}${apiPaths[found.kind]}`, by: 'probe' }
  if (answers.every(({ answer }) => answer === 'away'))
    throw new ErrandError('forge_away', `No forge answers at ${protocol}://${host}.`, {
      hint: 'Check the host, and that this machine can reach it.',
    })
  throw new ErrandError('service_answer', `${host} is not a known kind of forge.`, {
    hint: 'Declare its kind: {host, kind: github | gitea | gitlab, api_url}. Use gitea for Forgejo too.',
  })
}

async function probe(
  url: string,
  shape: z.ZodType,
  options: RecogniseOptions,
): Promise<'it' | 'other' | 'away'> {
  const limit = AbortSignal.timeout(options.probeTimeoutMs ?? 10_000)
  const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit])
  let response: Response
  try {
    response = await (options.fetch ?? globalThis.fetch)(url, {
      headers: { accept: 'application/json', 'user-agent': 'errand' },
      redirect: 'manual',
      signal,
    })
  } catch (error) {
    // The request was never sent; report the error unchanged.
    if (error instanceof ErrandError) throw error
    return 'away'
  }
  try {
    if (![200, 401, 403].includes(response.status)) {
      await response.body?.cancel()
      return 'other'
    }
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString('latin1')
      if (text.length > 64 * 1024) return 'other'
    }
    return shape.safeParse(JSON.parse(text)).success ? 'it' : 'other'
  } catch {
    return 'other'
  }
}

type OpenOptions = Pick<
  ForgeHttpOptions,
  'retryCount' | 'timeoutMs' | 'mostWaitMs' | 'onWait' | 'wait' | 'fetch'
> & {
  tokens: TokenSource
}

/** Returns access to a repository on its forge. Sends no request yet. */
export function openForge({ kind, host, apiUrl }: Recognised, path: string, options: OpenOptions): Forge {
  if (kind !== 'gitlab' && path.split('/').length !== 2)
    throw new ErrandError(
      'invalid_argument',
      `"${path}" is not a ${names[kind]} repository: the path must be OWNER/NAME.`,
      {
        hint: 'Check the address, and which forge the host is.',
      },
    )
  const http = new ForgeHttp({
    ...options,
    name: `${names[kind]} at ${host}`,
    apiUrl,
    authorization: authorizations[kind],
  })
  return kind === 'gitlab'
    ? new GitlabForge(http, { host, path })
    : new GithubLikeForge(http, { host, path, profile: kind })
}
