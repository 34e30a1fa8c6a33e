import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { RunnerView } from '../../../src/contract/protocol.ts'
import type { Task } from '../../../src/contract/tasks/task.ts'
import { DEFAULT_TENANT, newTokenText, tokenSha256 } from '../../../src/hub/auth/tokens.ts'
import { type HubOptions, type Machines, startHub } from '../../../src/hub/start-hub.ts'
import type { NewToken, Role, TenantRunner, TokenScope } from '../../../src/stores/accounts.ts'
import { StandInQueries } from './bot-stand-in.ts'
import { StandInHost } from './host-stand-in.ts'

/** Returns a workflow of one step, whose command `StandInHost` understands. */
export const oneStep = (cmd: string): string =>
  `version: v0.1\nname: demo\nsteps:\n  - name: one\n    action: cmd.run\n    args: {cmd: ${JSON.stringify(cmd)}}\n`

/** Returns the workflow of a try. The title of its task is the command for `StandInHost`. */
const standInTaskRun = async ({ title }: Task) => ({ yaml: oneStep(title) })

type Options = Omit<Partial<HubOptions>, 'machines'> & { machines?: StandInAnswers }

/** Answers of the stand-in machines. */
type StandInAnswers = Partial<
  Pick<Machines, 'liveBot'> & Pick<Machines['runners'], 'checkBot' | 'list' | 'attempts' | 'waiting'>
>

/** Machines that execute nothing and have one connected runner in each of two tenants. */
class StandInMachines extends StandInHost implements Machines {
  readonly queries = new StandInQueries()
  readonly runners: Machines['runners']
  readonly liveBot: Machines['liveBot']

  constructor({ liveBot = () => undefined, checkBot = () => {}, ...runners }: StandInAnswers) {
    super()
    this.liveBot = liveBot
    this.runners = { ...standInRunners(), checkBot, ...runners }
  }

  contactMs(): number {
    return Number.POSITIVE_INFINITY
  }

  figures() {
    return {
      runners: [view],
      waiting: new Map([['gpu', 2]]),
      links: { opened: 1, closed: 0 },
      reconnects: 0,
    }
  }

  attach(): void {}
  ready(): void {}
  async restore(): Promise<void> {}
  async recheck(): Promise<void> {}
}

/** Starts a hub for tests, on loopback and in memory, without a first user and with a stand-in for the machines. */
export async function testingHub(t: TestContext, { machines: answers = {}, ...options }: Options = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'errand-api-'))
  const host = new StandInMachines(answers)
  const log: string[] = []
  const hub = await startHub({
    data: dir,
    database: ':memory:',
    host: '127.0.0.1',
    port: 0,
    version: '0.0.0-test',
    env: {},
    isDurable: () => true,
    machines: host,
    botSettleMs: 0,
    log: (line) => void log.push(line),
    ...options,
    tasks: { run: standInTaskRun, ...options.tasks },
  })
  const { url, app, engine, auth, accounts, stores, outputs, secrets, bots, uploads, artifacts } = hub
  const botData = { store: stores.botData, asks: host.queries }
  const close = async () => {
    await hub.close()
    await rm(dir, { recursive: true, force: true })
  }
  t.after(close)

  /** Creates a user, by default without a password, because hashing one takes time. So the token counts as a log-in. */
  const user = async (name: string, role: Role = 'user', tenant = DEFAULT_TENANT, password?: string) => {
    const password_hash = password === undefined ? 'none' : await auth.passwords.hash(password)
    const created_at = new Date().toISOString()
    const made = { id: `user_${name}`, name, role, tenant, password_hash, created_at, disabled: false }
    await accounts.createUser(made)
    const token = await tokenOf(made.id, 'api', { as_login: true })
    return { ...made, token }
  }
  const tokenOf = async (
    user_id: string,
    scope: TokenScope,
    extra: Partial<
      Pick<NewToken, 'group' | 'expires_at' | 'runner_id' | 'allow' | 'made_by' | 'as_login'>
    > = {},
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
  /** Returns how many requests are reading events or output. */
  const readers = () => watching.size
  const watching = new Set<symbol>()
  /** The last event that was read, and the bytes of output in the events. */
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
    tasks: hub.tasks,
    uploads,
    artifacts,
    stored: hub.stored,
    stores,
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
    data: dir,
    outputFolder: (runId: string) => join(dir, 'output', runId),
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

/** Returns runners with one id in two tenants. */
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
