import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

export const GITEA_VERSION = '1.26.0'
/** Below the user's own home, whatever HOME is, because the build takes long. */
const made = join(userInfo().homedir, '.cache/errand-test', `gitea-${GITEA_VERSION}`)

/** Limits the tries of a call that Gitea answers with "try again later": half a minute. */
const MOST_TRIES = 300

/** Returns why tests cannot have a Gitea and what to do about it, or false. */
export const giteaMissing = (): string | false =>
  existsSync(join(made, 'gitea')) && !process.env.ERRAND_TEST_WITHOUT?.includes('gitea')
    ? false
    : `no Gitea ${GITEA_VERSION} is built here: test/support/forge/gitea/build.sh`

/** A real Gitea on loopback, as a separate process, with users. */
export interface Gitea {
  url: string
  host: string
  /** Calls its API as that user. Throws if the call fails. */
  call(as: string, method: string, path: string, body?: unknown): Promise<unknown>
  /** Creates a user and returns a token with all of the user's rights. */
  user(name: string, options?: { isAdmin?: boolean }): Promise<string>
}

export async function startGitea(t: Pick<TestContext, 'after'>): Promise<Gitea> {
  const dir = mkdtempSync(join(tmpdir(), 'errand-gitea-'))
  const port = await freePort()
  const host = `127.0.0.1:${port}`
  const url = `http://${host}`
  const file = join(dir, 'app.ini')
  mkdirSync(join(dir, 'home'))
  writeFileSync(file, settings(dir, port))
  const env = { PATH: process.env.PATH, HOME: join(dir, 'home'), TMPDIR: tmpdir() }
  const run = async (...args: string[]) =>
    (await promisify(execFile)(join(made, 'gitea'), ['--config', file, ...args], { env })).stdout.trim()
  await run('migrate')
  const server = spawn(join(made, 'gitea'), ['--config', file, 'web'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [server.stdout, server.stderr])
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-10_000)
    })
  t.after(async () => {
    if (server.exitCode === null && server.signalCode === null) {
      const over = once(server, 'exit')
      server.kill()
      await over
    }
    rmSync(dir, { recursive: true, force: true })
  })
  const isUp = () =>
    fetch(`${url}/api/v1/version`).then(
      (answer) => answer.ok,
      () => false,
    )
  while (!(await isUp())) {
    if (server.exitCode !== null) throw new Error(`Gitea has ended: ${output}`)
    await sleep(50)
  }
  const tokens = new Map<string, string>()
  return {
    ...{ url, host },
    async user(name, { isAdmin = false } = {}) {
      const rest = ['--username', name, '--email', `${name}@example.org`, '--must-change-password=false']
      await run('admin', 'user', 'create', '--random-password', ...rest, ...(isAdmin ? ['--admin'] : []))
      const output = await run(
        'admin',
        'user',
        'generate-access-token',
        '--username',
        name,
        '--scopes',
        'all',
        '--raw',
      )
      const token = output.split('\n').at(-1)!
      tokens.set(name, token)
      return token
    },
    async call(as, method, path, body) {
      for (let tries = 1; ; tries++) {
        const answer = await fetch(`${url}/api/v1${path}`, {
          method,
          headers: { authorization: `token ${tokens.get(as)}`, 'content-type': 'application/json' },
          body: body === undefined ? undefined : JSON.stringify(body),
        })
        const text = await answer.text()
        if (answer.ok) return text === '' ? undefined : JSON.parse(text)
        // Gitea asks to try again later while it still checks whether a pull request can be merged.
        if (answer.status !== 405 || !/try again later/i.test(text) || tries === MOST_TRIES)
          throw new Error(`${method} ${path} as ${as}: ${answer.status} ${text}`)
        // Sleeps: Gitea asks to be asked again later.
        await sleep(100)
      }
    },
  }
}

const settings = (dir: string, port: number): string => `APP_NAME = Gitea
RUN_MODE = prod
WORK_PATH = ${dir}
${process.getuid?.() === 0 ? 'I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true' : ''}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = ${port}
ROOT_URL = http://127.0.0.1:${port}/
STATIC_ROOT_PATH = ${made}
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = ${join(dir, 'gitea.db')}
[repository]
ROOT = ${join(dir, 'repositories')}
DEFAULT_BRANCH = main
[security]
INSTALL_LOCK = true
SECRET_KEY = ${'0123456789abcdef'.repeat(4)}
PASSWORD_HASH_ALGO = pbkdf2_v1
[webhook]
ALLOWED_HOST_LIST = loopback
[actions]
ENABLED = false
[session]
PROVIDER = memory
[log]
LEVEL = warn
`

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
