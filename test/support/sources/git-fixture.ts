import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import {
  createServer as createHttp,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { GitPolicy } from '../../../src/runner/git/remote.ts'
import { AllowedOrigins } from '../../../src/runner/git/server-addresses.ts'

/** Real repositories behind real smart HTTP: `git http-backend`, called as a web server does. */

export interface TreeEntry {
  path: string
  content: string | Buffer
  /** Default: a regular file. 120000 is a symbolic link, 160000 a submodule (its content is a commit id). */
  mode?: '100644' | '100755' | '120000' | '160000'
}

/** Creates a bare repository with one commit on `main`, a tag `v1` and the given entries. Returns the commit's id. */
export function makeRepository(folder: string, entries: readonly TreeEntry[]): string {
  mkdirSync(folder, { recursive: true })
  run(folder, ['init', '--quiet', '--bare', '--initial-branch=main'])
  const lines: (string | Buffer)[] = [
    'commit refs/heads/main\ncommitter A <a@example.org> 1 +0000\ndata 1\nm\n',
  ]
  for (const { path, content, mode = '100644' } of entries) {
    const bytes = Buffer.from(content)
    if (mode === '160000') lines.push(`M 160000 ${content} ${JSON.stringify(path)}\n`)
    else lines.push(`M ${mode} inline ${JSON.stringify(path)}\ndata ${bytes.length}\n`, bytes, '\n')
  }
  lines.push('\n')
  execFileSync('git', ['fast-import', '--quiet'], {
    cwd: folder,
    input: Buffer.concat(lines.map((line) => Buffer.from(line))),
  })
  run(folder, ['tag', '-m', 'one', 'v1', 'main'])
  run(folder, ['branch', 'feature/+x', 'main'])
  return run(folder, ['rev-parse', 'main'])
}

export const run = (folder: string, args: readonly string[], input?: string | Buffer): string =>
  execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.org', ...args], {
    cwd: folder,
    encoding: 'utf8',
    input,
  }).trim()

export interface GitHost {
  origin(host?: string): string
  readonly port: number
  /** The requested paths. */
  readonly requests: string[]
  /** Answers a request instead of git if it returns true. */
  intercept: (path: string, response: ServerResponse, request: IncomingMessage) => boolean
  close(): Promise<void>
}

/**
 * Returns an `intercept` that requires these credentials. `seen` receives the credentials of every request, right or
 * wrong.
 */
export const needsLogin =
  ({ username, password }: { username: string; password: string }, seen: (string | undefined)[] = []) =>
  (_path: string, response: ServerResponse, { headers }: IncomingMessage): boolean => {
    seen.push(headers.authorization)
    const expected = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
    if (headers.authorization === expected) return false
    response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
    return true
  }

/** Serves the repositories below `root` on loopback, over TLS for git.test if a certificate is given. */
export async function serveGit(root: string, tls?: { key: string; cert: string }): Promise<GitHost> {
  const requests: string[] = []
  const listener: RequestListener = (request, response) => {
    const { pathname, search } = new URL(request.url!, 'http://any')
    requests.push(request.url!)
    if (host.intercept(request.url!, response, request)) return
    const backend = spawn('git', ['http-backend'], {
      env: {
        PATH: process.env.PATH,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_PROTOCOL: request.headers['git-protocol'] as string | undefined,
        REQUEST_METHOD: request.method,
        PATH_INFO: decodeURIComponent(pathname),
        QUERY_STRING: search.slice(1),
        CONTENT_TYPE: request.headers['content-type'],
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
        REMOTE_ADDR: '127.0.0.1',
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    request.pipe(backend.stdin).on('error', () => undefined)
    response.on('close', () => backend.kill())
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
      backend.stdout.pipe(response)
    }
    backend.stdout.on('data', onHead)
  }
  const server = tls ? createHttps(tls, listener) : createHttp(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const host: GitHost = {
    origin: (name = '127.0.0.1') => `${tls ? 'https' : 'http'}://${name}:${port}`,
    port,
    requests,
    intercept: () => false,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return host
}

/** Allows that host, and no other host that is not public. */
export const policyOf = (host: GitHost): GitPolicy => ({
  allow: new AllowedOrigins(`${host.origin()},${host.origin('git.test')}`, 'ERRAND_GIT_ALLOW'),
  variable: 'ERRAND_GIT_ALLOW',
  lookup: async () => ['127.0.0.1'],
  folders: [],
})

/** Creates a self-signed certificate and its file. */
export function makeCertificate(
  folder: string,
  name = 'DNS:git.test',
): { key: string; cert: string; file: string } {
  const file = join(folder, 'cert.pem')
  const key = join(folder, 'key.pem')
  const subject = ['-subj', '/CN=git.test', '-addext', `subjectAltName=${name}`]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-keyout', key, '-out', file],
    { stdio: 'ignore' },
  )
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(file, 'utf8'), file }
}

/** Returns the processes that work in a folder. */
export function processesIn(folder: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.filter((pid) => cwd(pid).startsWith(folder)).map(Number)
}

function cwd(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}
