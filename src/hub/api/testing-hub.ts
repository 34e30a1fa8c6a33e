import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { ErrandClient } from '../../client/client.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import { Engine } from '../../engine/engine.ts'
import { Auth, type AuthOptions } from '../auth/auth.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import { newTokenText, tokenSha256 } from '../auth/token-text.ts'
import type { Role, TokenScope } from '../store/accounts.ts'
import { openSqliteStores } from '../store/open-sqlite.ts'
import { type ApiOptions, createApi } from './app.ts'
import { StandInHost } from './stand-in-host.ts'
import { StandInOutputs } from './stand-in-outputs.ts'

/** A workflow of one step that does what `StandInHost` understands. */
export const oneStep = (cmd: string): string =>
  `version: v0.1\nname: demo\nsteps:\n  - name: one\n    action: cmd.run\n    args: {cmd: ${JSON.stringify(cmd)}}\n`

type Options = Partial<Omit<ApiOptions, 'auth'>> & { auth?: Partial<AuthOptions> }

/** A hub for tests: the real engine, store, auth and API over loopback; a stand-in for the machines. */
export async function testingHub(t: TestContext, options: Options = {}) {
  const stores = await openSqliteStores({ file: ':memory:' })
  const { accounts } = stores
  const host = new StandInHost()
  const engine = new Engine({ store: stores.runs, host, outputs: new StandInOutputs() })
  const auth = new Auth({ accounts, secret: 'a secret of these tests', ...options.auth })
  const log: string[] = []
  const app = createApi({
    engine,
    accounts,
    runners: standInRunners(),
    version: '0.0.0-test',
    log: (line) => log.push(line),
    ...options,
    auth,
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`

  const close = async () => {
    await app.close()
    await engine.close()
    stores.close()
  }
  t.after(close)

  /** Without a password: hashing one takes its time. */
  const user = async (name: string, role: Role = 'user', tenant = DEFAULT_TENANT, password?: string) => {
    const password_hash = password === undefined ? 'none' : await auth.passwords.hash(password)
    const created_at = new Date().toISOString()
    const made = { id: `user_${name}`, name, role, tenant, password_hash, created_at, disabled: false }
    await accounts.createUser(made)
    const token = await tokenOf(made.id, 'api')
    return { ...made, token, client: new ErrandClient({ url, token }) }
  }
  const tokenOf = async (user_id: string, scope: TokenScope, extra: { group?: string; expires_at?: string } = {}) => {
    const text = newTokenText(scope)
    const id = `token_${text.slice(-8)}`
    const created_at = new Date().toISOString()
    await accounts.createToken({ id, name: 'test', user_id, scope, token_sha256: tokenSha256(text), created_at, ...extra })
    return text
  }
  const call = async (method: string, path: string, token?: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      method,
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
    })
    const text = await response.text()
    const json = response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : undefined
    return { status: response.status, headers: response.headers, text, json }
  }
  return { url, app, engine, host, auth, accounts, log, user, tokenOf, call, close }
}

const view: RunnerView = {
  id: 'runner-001',
  group: 'default',
  status: 'connected',
  hostname: 'server-01',
  cpus: 4,
  memory: '8GB',
  connected_at: '2025-01-15T10:00:00Z',
  labels: {},
  mode: 'all',
  version: '0.0.0-test',
  slots: 4,
  running: 0,
  last_seen_at: '2025-01-15T10:00:00Z',
}

function standInRunners() {
  const known = new Map([[view.id, view]])
  const find = (id: string) => {
    const found = known.get(id)
    if (found === undefined) throw new ErrandError('not_found', `There is no runner "${id}".`)
    return found
  }
  return {
    list: () => [...known.values()],
    drain: (id: string) => void known.set(id, { ...find(id), status: 'draining' }),
    remove: (id: string) => void known.delete(find(id).id),
  }
}
