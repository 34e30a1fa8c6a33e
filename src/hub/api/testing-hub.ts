import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { RunnerView } from '../../contract/protocol.ts'
import type { RunSpec } from '../../contract/run.ts'
import { Engine } from '../../engine/engine.ts'
import type { PassOn } from '../../engine/late-prompts.ts'
import { FollowUps } from '../agents/follow-ups.ts'
import { Auth, type AuthOptions } from '../auth/auth.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import { newTokenText, tokenSha256 } from '../auth/token-text.ts'
import { DEFAULT_BOT_QUOTA } from '../bots/bot-quota.ts'
import { Bots, type BotsOptions } from '../bots/bots.ts'
import { Uploads } from '../bots/uploads.ts'
import { HubMetrics } from '../metrics/hub-metrics.ts'
import { observedStore } from '../metrics/observed-store.ts'
import { FileOutputStore } from '../outputs/files.ts'
import { KeyRing } from '../secrets/key-ring.ts'
import { Secrets } from '../secrets/secrets.ts'
import type { Role, TenantRunner, TokenScope } from '../store/accounts.ts'
import { openSqliteStores } from '../store/open-sqlite.ts'
import { type ApiOptions, createApi } from './app.ts'
import { StandInDataAsks } from './stand-in-bot.ts'
import { StandInHost } from './stand-in-host.ts'

/** A workflow of one step that does what `StandInHost` understands. */
export const oneStep = (cmd: string): string =>
  `version: v0.1\nname: demo\nsteps:\n  - name: one\n    action: cmd.run\n    args: {cmd: ${JSON.stringify(cmd)}}\n`

type Options = Partial<Omit<ApiOptions, 'auth' | 'bots'>> & {
  auth?: Partial<AuthOptions>
  bots?: Partial<BotsOptions>
}

/** A hub for tests: the real engine, store, auth and API over loopback; a stand-in for the machines. */
export async function testingHub(t: TestContext, options: Options = {}) {
  const stores = await openSqliteStores({ file: ':memory:' })
  const { accounts } = stores
  const host = new StandInHost()
  const dir = await mkdtemp(join(tmpdir(), 'errand-api-'))
  const outputs = new FileOutputStore({ dir })
  const keys = new KeyRing({ env: {}, file: join(dir, 'secrets.key') })
  const secrets = new Secrets(stores.secrets, keys)
  const metrics = new HubMetrics({
    version: '0.0.0-test',
    openRuns: () => engine.openRuns(),
    fleet: () => ({
      runners: [view],
      waiting: new Map([['gpu', 2]]),
      links: { opened: 1, closed: 0 },
      reconnects: 0,
    }),
  })
  const store = observedStore(stores.runs, {
    seen(runId, events) {
      metrics.seen(runId, events)
      bots.seen(runId, events)
    },
    read: () => {},
  })
  const admit = async (run: RunSpec) => {
    bots.admit(run)
    await secrets.admit(run)
  }
  const passOn: PassOn = (runId, inputIds) => followUps.passOn(runId, inputIds)
  const engine = new Engine({ store, host, outputs, runSecrets: secrets, admit, passOn })
  const followUps = new FollowUps(engine, accounts)
  const auth = new Auth({ accounts, secret: 'a secret of these tests', ...options.auth })
  const log: string[] = []
  const tell = (line: string) => void log.push(line)
  const uploads = new Uploads({ dir: join(dir, 'uploads'), log: tell })
  const botData = { store: stores.botData, asks: new StandInDataAsks() }
  const bots = new Bots({
    engine,
    secrets,
    uploads,
    data: botData,
    quota: DEFAULT_BOT_QUOTA,
    settleMs: 0,
    log: tell,
    ...options.bots,
  })
  const app = createApi({
    engine,
    accounts,
    runners: standInRunners(),
    secrets,
    metrics,
    version: '0.0.0-test',
    log: tell,
    followUps,
    uploads,
    ...options,
    bots,
    auth,
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`

  const close = async () => {
    metrics.close()
    await app.close()
    await bots.close()
    await engine.close()
    await outputs.close()
    stores.close()
    await rm(dir, { recursive: true, force: true })
  }
  t.after(close)

  /** Without a password: hashing one takes its time. */
  const user = async (name: string, role: Role = 'user', tenant = DEFAULT_TENANT, password?: string) => {
    const password_hash = password === undefined ? 'none' : await auth.passwords.hash(password)
    const created_at = new Date().toISOString()
    const made = { id: `user_${name}`, name, role, tenant, password_hash, created_at, disabled: false }
    await accounts.createUser(made)
    const token = await tokenOf(made.id, 'api')
    return { ...made, token }
  }
  const tokenOf = async (
    user_id: string,
    scope: TokenScope,
    extra: { group?: string; expires_at?: string; runner_id?: string } = {},
  ) => {
    const text = newTokenText(scope)
    const id = `token_${text.slice(-8)}`
    const created_at = new Date().toISOString()
    await accounts.createToken({
      id,
      name: 'test',
      user_id,
      scope,
      token_sha256: tokenSha256(text),
      created_at,
      ...extra,
    })
    return text
  }
  const call = async (
    method: string,
    path: string,
    token?: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => {
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
    const isJson = text !== '' && response.headers.get('content-type')?.includes('json')
    const json = isJson ? JSON.parse(text) : undefined
    return { status: response.status, headers: response.headers, text, json }
  }
  /** How many requests read events or output. */
  const readers = () => watching.size
  const watching = new Set<symbol>()
  /** What events were read, and the output in them. */
  const watched = { bytes: 0, lastSeq: 0 }
  const watch = engine.watch.bind(engine)
  engine.watch = async function* (...of) {
    const reader = Symbol()
    watching.add(reader)
    try {
      for await (const event of watch(...of)) {
        watched.lastSeq = event.seq
        if (event.type === 'output') watched.bytes += event.length
        yield event
      }
    } finally {
      watching.delete(reader)
    }
  }
  return {
    url,
    app,
    engine,
    host,
    auth,
    accounts,
    secrets,
    bots,
    uploads,
    botData,
    log,
    user,
    tokenOf,
    call,
    close,
    readers,
    watched,
    store: stores.runs,
    outputs,
    outputFolder: (runId: string) => join(dir, runId),
  }
}

const view: RunnerView = {
  id: 'runner-001',
  group: 'default',
  status: 'connected',
  hostname: 'server-01',
  cpus: 4,
  memory: '8GB',
  connected_at: '2025-01-15T10:00:00Z',
  labels: { gpu: '1' },
  mode: 'all',
  version: '0.0.0-test',
  slots: 4,
  running: 0,
  last_seen_at: '2025-01-15T10:00:00Z',
}

/** One id in two tenants. */
function standInRunners() {
  const known = new Map([DEFAULT_TENANT, 'twins'].map((tenant) => [tenant, new Map([[view.id, view]])]))
  const change = ({ tenant, id }: TenantRunner, to: RunnerView): boolean =>
    known.get(tenant)?.has(id) === true && known.get(tenant)!.set(id, to).has(id)
  return {
    list: (tenant: string) => [...(known.get(tenant)?.values() ?? [])],
    attempts: () => [],
    drain: (runner: TenantRunner) => change(runner, { ...view, status: 'draining' }),
    undrain: (runner: TenantRunner) => change(runner, view),
    remove: ({ tenant, id }: TenantRunner) => known.get(tenant)?.delete(id) === true,
  }
}
