import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { type Advertisement, readAdvertisement } from './advertisement.ts'
import { TOKEN_USER } from './git-credential.ts'
import { gitUrl, PRIVATE_HINT, URL_EXAMPLE } from './git-url.ts'
import { GitRefused } from './git-words.ts'
import { type ServerCheck, serverAddresses } from './server-addresses.ts'

const MAX_REDIRECTS = 5
/** Milliseconds without data; Git itself gives up an almost silent server after the same time. */
export const SILENCE_MS = 60_000

/** Service of a repository: the one for reading, or the one for writing. */
export type GitService = 'git-upload-pack' | 'git-receive-pack'

const firstRequest = (service: GitService): string => `/info/refs?service=${service}`

/** Real location of a repository: no more redirects, and the only addresses to connect to. */
export interface GitServer {
  url: URL
  addresses: readonly string[]
  /** Header to send to it, if it is the named server. */
  authorization?: string
  /** Refs of the repository, if they were requested. */
  advertisement?: Advertisement
}

export interface GitServerOptions extends ServerCheck {
  signal: AbortSignal
  /** Trusted certificates, PEM; default: those of the system. */
  ca?: string
  /** Header for the named server, and for none that it redirects to. */
  authorization?: string
  /** Service; default: the one for reading. */
  service?: GitService
  /** Reads all branches and tags, too. */
  refs?: boolean
  /** Milliseconds after which a silent server is given up. Default `SILENCE_MS`. */
  silenceMs?: number
}

/**
 * Follows the redirects of Git's first request. It checks each hop before it connects, so that Git itself need not
 * follow any. Throws `GitRefused`.
 */
export async function gitServer(text: string, options: GitServerOptions): Promise<GitServer> {
  let url = gitUrl(text, options.allow, options.variable)
  const { origin } = url
  let { authorization } = options
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const addresses = await serverAddresses(url, options)
    // Once it has led elsewhere, a way back is not trusted either.
    if (url.origin !== origin) authorization = undefined
    const answer = await ask(url, addresses, { ...options, authorization })
    const { location } = answer.headers
    if (answer.statusCode! < 300 || answer.statusCode! >= 400 || location === undefined) {
      try {
        checkAnswer(url, answer, {
          given: options.authorization !== undefined,
          sent: authorization !== undefined,
          service: options.service ?? 'git-upload-pack',
        })
        const advertisement = options.refs ? await readAdvertisement(answer, url.host) : undefined
        return { url, addresses, authorization, advertisement }
      } finally {
        answer.destroy()
      }
    }
    answer.destroy()
    url = redirected(url, location, options)
  }
  throw new GitRefused('repo_refused', `${url.host} redirects more than ${MAX_REDIRECTS} times.`, {
    hint: "Use the repository's current address.",
  })
}

/**
 * Returns the target of a redirect that Git would accept too: to the first request of another repository, and never
 * from https to http.
 */
function redirected(
  from: URL,
  location: string,
  { allow, variable, service = 'git-upload-pack' }: GitServerOptions,
): URL {
  const request = firstRequest(service)
  const refuse = (why: string, cause?: unknown) =>
    new GitRefused('repo_refused', `${from.host} redirects ${why}.`, {
      hint: "Use the repository's current address.",
      cause,
    })
  const to = URL.parse(location, `${from.href}${request}`)
  if (to === null || !to.href.endsWith(request)) throw refuse('to an address that is not a repository')
  if (from.protocol === 'https:' && to.protocol !== 'https:')
    throw refuse('from https to an unencrypted address')
  try {
    return gitUrl(to.href.slice(0, -request.length), allow, variable)
  } catch (error) {
    throw refuse(`to an address that is refused: ${(error as Error).message}`, error)
  }
}

function checkAnswer(
  url: URL,
  { statusCode, headers }: IncomingMessage,
  { given, sent, service }: { given: boolean; sent: boolean; service: GitService },
): void {
  const isWritten = service === 'git-receive-pack'
  const isKnown = statusCode === 401 || statusCode === 403
  const reason = isWritten ? 'push_denied' : isKnown ? 'repo_auth' : 'repo_not_found'
  const refuse = (message: string, hint: string) => new GitRefused(reason, message, { hint })
  // Servers that hide private repositories answer 404 too.
  if (statusCode === 401 || statusCode === 403 || statusCode === 404) {
    const http = `(HTTP ${statusCode})`
    if (!given)
      throw refuse(`No public repository found at ${url.href} ${http}.`, `Check the address. ${PRIVATE_HINT}`)
    if (!sent)
      throw refuse(
        `The address redirects to another server, ${url.href}, and the token is not sent there ${http}.`,
        "Use the repository's current address.",
      )
    throw refuse(
      `No repository at ${url.href} can be read with this token ${http}.`,
      'Check the address and the token. Some servers also need the user name of the token: --username.',
    )
  }
  if (statusCode !== 200)
    throw new GitRefused(
      'host_unreachable',
      `${url.host} answers HTTP ${statusCode} instead of a repository.`,
      {
        hint: 'Try again later.',
      },
    )
  if (headers['content-type']?.split(';')[0] !== `application/x-${service}-advertisement`)
    throw refuse(`${url.href} is not a Git repository with smart HTTP.`, URL_EXAMPLE)
}

async function ask(
  url: URL,
  addresses: readonly string[],
  {
    signal,
    ca,
    authorization,
    service = 'git-upload-pack',
    refs = false,
    silenceMs = SILENCE_MS,
  }: GitServerOptions,
): Promise<IncomingMessage> {
  const answer = Promise.withResolvers<IncomingMessage>()
  const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(
    `${url.href}${firstRequest(service)}`,
    {
      agent: false,
      ca,
      lookup: fixedLookup(addresses),
      signal,
      headers: {
        'user-agent': 'git/2 (errand)',
        // The older protocol lists all branches and tags at once.
        ...(!refs && { 'git-protocol': 'version=2' }),
        accept: '*/*',
        ...(authorization && { authorization }),
      },
    },
  )
  endWhenSilent(request, silenceMs)
  request.once('response', answer.resolve)
  // The listener stays: a connection that is dropped later may fail again.
  request.on('error', answer.reject)
  request.end()
  return await answer.promise.catch((error: Error) => {
    signal.throwIfAborted()
    throw new GitRefused('host_unreachable', `${url.host} cannot be reached: ${error.message}.`, {
      hint: "Check the address, and the runner's network.",
      cause: error,
    })
  })
}

/** Ends a request, and its answer, after this long without data in either direction. */
export function endWhenSilent(request: ClientRequest, silenceMs: number): void {
  const silent = new Error(`no data for ${silenceMs / 1000} s`)
  let answer: IncomingMessage | undefined
  request.once('response', (response) => {
    answer = response
  })
  // It counts from the start of the connection. A partial answer fails with this instead of "aborted".
  request.setTimeout(silenceMs, () => (answer ?? request).destroy(silent))
}

/** Returns a look-up that always gives the checked addresses. */
export function fixedLookup(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }))
  return (_host, options, answer) => {
    if (options.all) answer(null, all)
    else answer(null, all[0]!.address, all[0]!.family)
  }
}

/**
 * Returns the configuration that makes Git connect to the checked addresses without a look-up. A literal IPv6 address
 * is never looked up.
 */
export function pinsOf({ url, addresses }: GitServer): string[] {
  if (url.hostname.startsWith('[')) return []
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  const listed = addresses.map((address) => (address.includes(':') ? `[${address}]` : address))
  // The star covers spellings that curl may use, and any other name that it meets.
  return [url.hostname, '*'].map((name) => `http.curloptResolve=${name}:${port}:${listed.join(',')}`)
}

/** Builds the header with a name and a password, or token. */
export const basicAuthorization = ({
  username = TOKEN_USER,
  password,
}: {
  username?: string
  password: string
}) => `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
