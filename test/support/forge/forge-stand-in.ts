import { spawn } from 'node:child_process'
import { createHmac, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type Files, ForgeState, type Repository, type Right, type Token } from './forge-state.ts'
import { githubApi } from './github-api.ts'
import { gitlabApi } from './gitlab-api.ts'

export type Flavour = 'github' | 'gitea' | 'gitlab'

export interface RecordedRequest {
  method: string
  /** The path with its query. */
  path: string
  headers: IncomingMessage['headers']
  body: string
}

/** A request as the tables of the flavours receive it. */
export interface ApiRequest {
  method: string
  /** The path below the API's base path. */
  path: string
  query: URLSearchParams
  // biome-ignore lint/suspicious/noExplicitAny: what comes is whatever a client sends.
  body: any
  token: Token | undefined
  headers: IncomingMessage['headers']
}
export interface ApiAnswer {
  status: number
  body?: unknown
  headers?: Record<string, string>
  /** A text to send instead of a body. */
  text?: string
}

export interface Fault {
  /** Matches "METHOD /path?query" of the requests that it affects. */
  match: RegExp
  /** The number of requests that it affects; default 1. */
  times?: number
  /**
   * The kind of failure. `reset` breaks the connection before the request is carried out, `reset_after` afterwards.
   * `garbage` sends a page of HTML with 200. `hang` never answers. `flood` never ends its answer. `until` waits, then
   * carries the request out and answers as usual. `answer_after` carries it out, then waits and answers. Anything else
   * is sent as the answer.
   */
  how:
    | 'reset'
    | 'reset_after'
    | 'garbage'
    | 'hang'
    | 'flood'
    | { until: Promise<unknown> }
    | { answer_after: Promise<unknown> }
    | { status: number; headers?: Record<string, string>; body?: unknown }
}

export interface GithubAppStandIn {
  appId: string
  privateKey: string
  slug: string
  /** The tokens it was given so far. */
  minted: Token[]
  /** Milliseconds since 1970; default an hour from now. */
  tokensEndMs: number | undefined
}

const apiPaths = { github: '/api/v3', gitea: '/api/v1', gitlab: '/api/v4' } as const

/**
 * A stand-in for a forge: real repositories behind `git http-backend`, and the part of the flavour's published API
 * that tasks need. Its state is stored on disk. None of it is a forge's own code, and SSH is left out.
 */
export async function startForge({
  flavour,
  port = 0,
  address = '127.0.0.1',
}: {
  flavour: Flavour
  port?: number
  address?: string
}) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-forge-'))
  const state = new ForgeState(folder, flavour === 'gitlab')
  const seen: RecordedRequest[] = []
  const faults: (Fault & { left: number })[] = []
  const apps: GithubAppStandIn[] = []
  const delivering = new Set<Promise<void>>()
  const hanging = new Set<ServerResponse>()
  const backends = new Set<ReturnType<typeof spawn>>()

  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' })
      response.end(String((error as Error)?.stack ?? error))
    })
  })
  await new Promise<void>((resolve) => server.listen(port, address, resolve))
  const host = `${address}:${(server.address() as AddressInfo).port}`
  const url = `http://${host}`
  const apiUrl = url + apiPaths[flavour]
  const api = flavour === 'gitlab' ? gitlabApi(state, url) : githubApi(state, { url, apiUrl, flavour })

  state.onEvent = (repository, event, payload) => {
    for (const hook of repository.hooks) {
      const sending = deliver(hook, repository, event, payload).finally(() => delivering.delete(sending))
      delivering.add(sending)
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!
    const { pathname, searchParams } = new URL(path, url)
    const isGit = /\.git\/(info\/refs|git-(upload|receive)-pack)$/.test(pathname)
    const bytes = isGit ? undefined : await buffer(request)
    const { method = 'GET', headers } = request
    seen.push({ method, path, headers, body: bytes?.toString() ?? '' })
    const fault = faults.find(({ match, left }) => left > 0 && match.test(`${method} ${path}`))
    if (fault !== undefined) fault.left--
    const how = fault?.how
    if (how === 'reset') return void request.socket.destroy()
    if (how === 'hang') return void hanging.add(response)
    if (how === 'garbage')
      return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>')
    if (how === 'flood') return flood(response)
    if (typeof how === 'object' && 'until' in how) await how.until
    else if (typeof how === 'object' && 'status' in how) {
      response.writeHead(how.status, { 'content-type': 'application/json', ...how.headers })
      return void response.end(JSON.stringify(how.body ?? {}))
    }
    const answerAfter = typeof how === 'object' && 'answer_after' in how ? how.answer_after : undefined
    if (isGit) return serveGit(request, response, pathname, searchParams, answerAfter)
    const token = tokenOf(headers)
    if (!pathname.startsWith(apiPaths[flavour]) && pathname !== '/api/graphql')
      return void response.writeHead(404, { 'content-type': 'text/html' }).end('<html>Not Found</html>')
    let body: unknown
    try {
      body = bytes!.length === 0 ? {} : JSON.parse(bytes!.toString())
    } catch {
      return void response.writeHead(400).end('{"message":"Problems parsing JSON"}')
    }
    const path_ = pathname.startsWith(apiPaths[flavour])
      ? pathname.slice(apiPaths[flavour].length)
      : '/graphql'
    const requested = { method, path: path_, query: searchParams, body, headers } as ApiRequest
    const result = ofApp(requested, token) ?? ofToken(requested, token)
    if (how === 'reset_after') return void request.socket.destroy()
    await answerAfter
    const all = { 'content-type': 'application/json; charset=utf-8', ...result.headers }
    response.writeHead(result.status, all)
    response.end(result.text ?? (result.body === undefined ? '' : JSON.stringify(result.body)))
  }

  function ofToken(request: ApiRequest, values: string | undefined): ApiAnswer {
    const token = state.tokens.find((one) => one.token === values)
    const isOver = token?.endsMs !== undefined && token.endsMs <= Date.now()
    if (values !== undefined && (token === undefined || isOver))
      return flavour === 'gitlab'
        ? { status: 401, body: { message: '401 Unauthorized' } }
        : {
            status: 401,
            body: {
              message: flavour === 'github' ? 'Bad credentials' : 'invalid username, password or token',
            },
          }
    return api({ ...request, token })
  }

  /** Returns what GitHub answers to an App that signs for itself. */
  function ofApp({ method, path, body }: ApiRequest, values: string | undefined): ApiAnswer | undefined {
    const needed =
      /^\/(app|app\/installations\/(\d+)\/access_tokens|repos\/([^/]+\/[^/]+)\/installation)$/.exec(path)
    if (flavour !== 'github' || needed === null) return undefined
    const app = apps.find((one) => isSignedBy(one, values))
    if (app === undefined) return { status: 401, body: { message: 'A JSON web token could not be decoded' } }
    const date = { date: new Date().toUTCString() }
    if (path === '/app') return { status: 200, body: { slug: app.slug }, headers: date }
    if (needed[3] !== undefined) {
      const found = state.repository(needed[3])
      if (found === undefined || found.rights[`${app.slug}[bot]`] === undefined)
        return { status: 404, body: { message: 'Not Found' } }
      return { status: 200, body: { id: 7 } }
    }
    if (method !== 'POST' || needed[2] !== '7') return { status: 404, body: { message: 'Not Found' } }
    const { repositories, permissions } = body as {
      repositories: string[]
      permissions: Record<string, Right>
    }
    const paths = state.repositories
      .map((one) => one.path)
      .filter((one) => repositories.includes(one.split('/')[1]!))
    const endsMs = app.tokensEndMs ?? Date.now() + 3_600_000
    const token: Token = {
      token: `ghs_${randomBytes(18).toString('hex')}`,
      login: `${app.slug}[bot]`,
      right: permissions.pull_requests === 'write' ? 'write' : (permissions.contents ?? 'read'),
      gitRight: permissions.contents ?? 'read',
      mayOpenPulls: permissions.pull_requests === 'write',
      repositories: paths,
      endsMs,
    }
    state.tokens.push(token)
    app.minted.push(token)
    return {
      status: 201,
      body: { token: token.token, expires_at: new Date(endsMs).toISOString(), permissions },
    }
  }

  function serveGit(
    request: IncomingMessage,
    response: ServerResponse,
    pathname: string,
    query: URLSearchParams,
    answerAfter: Promise<unknown> | undefined,
  ): void {
    const path = decodeURIComponent(pathname).slice(1, pathname.lastIndexOf('.git/'))
    const token = state.tokens.find((one) => one.token === basicToken(request.headers.authorization))
    const isWrite = pathname.endsWith('git-receive-pack') || query.get('service') === 'git-receive-pack'
    const repository = state.repository(path)
    const ofGit = token && { ...token, right: token.gitRight ?? token.right }
    const right = repository && state.rightOfToken(repository, ofGit)
    const isOver = token?.endsMs !== undefined && token.endsMs <= Date.now()
    const isUnknown =
      token === undefined && (request.headers.authorization !== undefined || isWrite || right === undefined)
    const refused: [status: number, text: string] | undefined =
      isOver || isUnknown
        ? [401, 'Authentication required']
        : repository === undefined || right === undefined
          ? [404, 'Repository not found.']
          : isWrite && right === 'read'
            ? [403, `Permission to ${path}.git denied to ${token?.login}.`]
            : isWrite && repository.isArchived
              ? [403, 'This repository was archived so it is read-only.']
              : undefined
    if (refused !== undefined || repository === undefined) {
      const [status, text] = refused!
      const ask = status === 401 ? { 'www-authenticate': 'Basic realm="forge"' } : {}
      response.writeHead(status, { 'content-type': 'text/plain', ...ask }).end(`${text}\n`)
      return
    }
    const before = isWrite ? refsOf(repository) : ''
    const backend = spawn('git', ['http-backend'], {
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_PROJECT_ROOT: join(folder, 'repositories'),
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_PROTOCOL: request.headers['git-protocol'] as string | undefined,
        REMOTE_USER: token?.login,
        REQUEST_METHOD: request.method,
        PATH_INFO: decodeURIComponent(pathname).replace(path, repository.path),
        QUERY_STRING: query.toString(),
        CONTENT_TYPE: request.headers['content-type'],
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
        REMOTE_ADDR: '127.0.0.1',
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    backends.add(backend)
    request.pipe(backend.stdin).on('error', () => undefined)
    response.on('close', () => backend.kill())
    backend.on('close', () => {
      backends.delete(backend)
      if (isWrite && refsOf(repository) !== before) pushed(repository, token!.login)
      if (answerAfter === undefined) response.end()
      else void answerAfter.then(() => response.end())
    })
    let head = Buffer.alloc(0)
    const onHead = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\r\n\r\n')
      if (end === -1) return
      backend.stdout.off('data', onHead)
      for (const line of head.toString('latin1', 0, end).split('\r\n')) {
        const [name, value] = line.split(': ') as [string, string]
        if (name === 'Status') response.statusCode = Number.parseInt(value, 10)
        else response.setHeader(name, value)
      }
      response.write(head.subarray(end + 4))
      backend.stdout.pipe(response, { end: false })
    }
    backend.stdout.on('data', onHead)
  }

  const refsOf = ({ path }: Repository) =>
    state.git(path, ['for-each-ref', '--format=%(refname) %(objectname)'])

  function pushed(repository: Repository, by: string): void {
    state.onEvent(repository, 'push', { pusher: by })
    for (const ticket of repository.tickets)
      if (ticket.isOpen && ticket.pull !== undefined && state.headOf(repository, ticket) === undefined)
        state.close(repository, ticket)
  }

  async function deliver(
    hook: { url: string; secret: string },
    { path }: Repository,
    event: string,
    payload: object,
  ) {
    const body = JSON.stringify({ ...payload, repository: { full_name: path } })
    const signature = createHmac('sha256', hook.secret).update(body).digest('hex')
    const id = randomBytes(8).toString('hex')
    const headers: Record<string, string> =
      flavour === 'github'
        ? { 'x-github-event': event, 'x-github-delivery': id, 'x-hub-signature-256': `sha256=${signature}` }
        : flavour === 'gitea'
          ? { 'x-gitea-event': event, 'x-gitea-delivery': id, 'x-gitea-signature': signature }
          : { 'x-gitlab-event': event, 'x-gitlab-event-uuid': id, 'x-gitlab-token': hook.secret }
    const sent = { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } }
    await fetch(hook.url, sent).then(
      (one) => one.body?.cancel(),
      () => undefined,
    )
  }

  return {
    flavour,
    url,
    /** The address, `127.0.0.1:PORT`. */
    host,
    apiUrl,
    state,
    /** The requests so far in order, including those of git. */
    seen,
    /** Makes the next matching requests fail. */
    fault(fault: Fault): void {
      faults.push({ ...fault, left: fault.times ?? 1 })
    },
    makeToken(login: string, options: Partial<Omit<Token, 'token' | 'login'>> = {}): string {
      state.user(login)
      const token = `tok_${randomBytes(18).toString('hex')}`
      state.tokens.push({ right: 'admin', mayOpenPulls: options.right !== 'read', ...options, token, login })
      state.save()
      return token
    },
    /** Creates a repository. `path` is `owner/name`; `rights` are by login. */
    makeRepository(
      path: string,
      options: { files?: Files; bundle?: string; isPrivate?: boolean; rights?: Record<string, Right> },
    ) {
      const repository = state.makeRepository(path, options)
      Object.assign(repository.rights, options.rights)
      for (const login of Object.keys(options.rights ?? {})) state.user(login)
      return Object.assign(repository, { url: `${url}/${path}`, cloneUrl: `${url}/${path}.git` })
    },
    /** Creates an App (GitHub only). Its bot gets write access to the repositories. */
    makeApp(repositories: readonly Repository[]): GithubAppStandIn {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      const app = {
        appId: String(state.id()),
        privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
        publicKey,
        slug: 'errand-app',
        minted: [],
        tokensEndMs: undefined,
      }
      state.user(`${app.slug}[bot]`, true)
      for (const { rights } of repositories) rights[`${app.slug}[bot]`] = 'write'
      apps.push(app)
      return app
    },
    /** Resolves when all hooks triggered so far are delivered. */
    async delivered(): Promise<void> {
      while (delivering.size > 0) await Promise.all(delivering)
    },
    /** Stops the server; may be called twice. */
    async stop(): Promise<void> {
      for (const one of hanging) one.destroy()
      for (const one of backends) one.kill()
      server.closeAllConnections()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
      await Promise.all(delivering)
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

export type ForgeStandIn = Awaited<ReturnType<typeof startForge>>

function flood(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  const more = () => {
    while (!response.destroyed && response.write(`[${'1,'.repeat(32_000)}`)) {}
  }
  response.on('drain', more)
  more()
}

function tokenOf(headers: IncomingMessage['headers']): string | undefined {
  const [, token] = /^(?:Bearer|token) (.+)$/i.exec(headers.authorization ?? '') ?? []
  return token ?? (headers['private-token'] as string | undefined) ?? basicToken(headers.authorization)
}

/**
 * Returns the token of basic authentication. Forges accept it as the password, or as the name if there is no password.
 */
function basicToken(authorization: string | undefined): string | undefined {
  const [, encoded] = /^Basic (.+)$/i.exec(authorization ?? '') ?? []
  if (encoded === undefined) return undefined
  const [name, ...password] = Buffer.from(encoded, 'base64').toString().split(':')
  return password.join(':') || name
}

function isSignedBy(app: GithubAppStandIn, jwt: string | undefined): boolean {
  const [head, claims, signature] = jwt?.split('.') ?? []
  if (signature === undefined) return false
  const { iss, exp, iat } = JSON.parse(Buffer.from(claims!, 'base64url').toString())
  const { publicKey } = app as unknown as { publicKey: Parameters<typeof verify>[2] }
  const isInTime = exp * 1000 > Date.now() && exp - iat <= 600 && iat * 1000 <= Date.now()
  return (
    iss === app.appId &&
    isInTime &&
    verify('RSA-SHA256', Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(signature, 'base64url'))
  )
}
