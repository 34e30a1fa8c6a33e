import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { builtinActionRegistry } from '../actions/registry.ts'
import { ErrandError } from '../contract/errors.ts'
import { Engine } from '../engine/engine.ts'
import { type OutputLimits, OutputQuota } from '../engine/output-quota.ts'
import { FollowUps } from '../hub/agents/follow-ups.ts'
import type { ApiLimits } from '../hub/api/api-context.ts'
import { createApi } from '../hub/api/app.ts'
import { Auth } from '../hub/auth/auth.ts'
import { ensureAdmin } from '../hub/auth/first-admin.ts'
import { keepGivenTokens } from '../hub/auth/given-tokens.ts'
import { sessionSecret } from '../hub/auth/sessions.ts'
import { type BotQuota, DEFAULT_BOT_QUOTA } from '../hub/bots/bot-quota.ts'
import { Bots } from '../hub/bots/bots.ts'
import { Uploads } from '../hub/bots/uploads.ts'
import { ConfigFile } from '../hub/config/config-file.ts'
import { Fleet } from '../hub/fleet/fleet.ts'
import { HubMetrics } from '../hub/metrics/hub-metrics.ts'
import { observedStore } from '../hub/metrics/observed-store.ts'
import { logRun } from '../hub/metrics/run-log-lines.ts'
import { FileOutputStore } from '../hub/outputs/files.ts'
import { Retention } from '../hub/retention/retention.ts'
import { KeyRing } from '../hub/secrets/key-ring.ts'
import { Secrets } from '../hub/secrets/secrets.ts'
import { diskError } from '../hub/store/disk-errors.ts'
import { lostDatabase, startAnew } from '../hub/store/lost-database.ts'
import { openSqliteStores } from '../hub/store/open-sqlite.ts'
import type { Log } from '../platform/log.ts'
import { makeFolderSync } from '../platform/make-folder.ts'
import { takeFolderLock } from './folder-lock.ts'
import { giveBackMemory } from './give-back.ts'
import type { Lease } from './lease-options.ts'
import { ownToken } from './own-token.ts'
import { productVersion } from './product-version.ts'
import { localHubFile, writeLogin } from './saved-login.ts'

export interface HubOptions {
  /** Data folder: database, output, tokens of this machine. */
  data: string
  /** What a hub without its database has left is put aside. */
  isNew?: boolean
  host: string
  port: number
  /** Path of `errand.yaml`, where there is one. */
  config?: string
  /** How long ended runs are kept; absent: for ever. */
  keptMs?: number
  lease?: Lease
  /** Who is on this machine reads the figures without a token. */
  openMetrics?: boolean
  /** Names under which a proxy on this machine passes people on. */
  hosts?: readonly string[]
  /** A runner of its own carries out steps as the hub's user. */
  ownRunner?: boolean
  apiLimits?: Partial<ApiLimits>
  /** How much output is kept. */
  outputLimits?: OutputLimits
  /** What each user may have of bots. */
  botQuota?: Partial<BotQuota>
  /** Tokens that the operator has chosen. */
  givenTokens?: { client?: string; runner?: string }
  /** Called at the first start on this folder, at once: what follows may fail, and the next start does not know the password. */
  tellAdmin(admin: { username: string; password: string }): void
  log: Log
}

export interface HubProcess {
  url: string
  /** For a runner on this machine. */
  runnerToken: string
  /** For the commands of this machine's user; acts as an admin. */
  localToken: string
  /** Reads the configuration again. */
  reload(): void
  /** Stops serving; runs stay open in the store. May be called twice. */
  close(): Promise<void>
}

/** A hub with SQLite and files under one folder. Throws `data_folder_locked`, `address_in_use`, `store_failed`. */
export async function startHub(options: HubOptions): Promise<HubProcess> {
  const { data, log } = options
  const lock = takeFolderLock({ path: data, what: 'data folder', option: '--data' }, 'lock')
  if ('holder' in lock) {
    throw new ErrandError(
      'data_folder_locked',
      `The data folder ${data} is in use by process ${lock.holder.pid}.`,
      {
        hint: 'Stop that one first, or give this one another folder with --data.',
      },
    )
  }
  const closers: (() => unknown)[] = [lock.release]
  const close = async (): Promise<void> => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer()
  }
  try {
    return { ...(await start(options, closers)), close }
  } catch (error) {
    await close().catch((failure: Error) => log(`While stopping: ${failure.message}`))
    throw error
  }
}

async function start(
  {
    data,
    isNew,
    host,
    port,
    config,
    keptMs,
    lease,
    openMetrics,
    hosts,
    ownRunner,
    apiLimits,
    outputLimits = {},
    botQuota,
    givenTokens = {},
    tellAdmin,
    log,
  }: HubOptions,
  closers: (() => unknown)[],
): Promise<Omit<HubProcess, 'close'>> {
  closers.push(giveBackMemory())
  const configFile = new ConfigFile({ file: config, log })
  closers.push(() => configFile.close())
  if (isNew) tellAside(startAnew(data), log)
  const lost = lostDatabase(data)
  if (lost !== undefined) throw lost
  const stores = await openSqliteStores({ file: join(data, 'errand.db') })
  closers.push(() => stores.close())
  if (stores.missingCommits > 0)
    log(
      `The database has lost its last ${stores.missingCommits} commits: its write-ahead log (errand.db-wal) was cut short or is gone. Runs go on from what is left; see docs/operations.md.`,
      { level: 'error' },
    )
  const { accounts } = stores
  const admin = await ensureAdmin(accounts)
  if (admin !== undefined) tellAdmin(admin)
  await keepGivenTokens(accounts, givenTokens)
  const given = Object.values(givenTokens).filter((text) => text !== undefined)
  const auth = new Auth({ accounts, secret: await sessionSecret(accounts), given })
  const outputs = new FileOutputStore({ dir: madeFolder(join(data, 'output')) })
  closers.push(() => outputs.close())
  const keys = new KeyRing({ env: process.env, file: join(data, 'secrets.key') })
  const secrets = new Secrets(stores.secrets, keys)
  await resealed(secrets, log)
  const fleet = new Fleet({
    authenticate: (token) => auth.authenticateRunner(token),
    // A process outlives the runner that started it, a session has a folder; what a runner does in itself has nothing.
    isDurable: (action) => builtinActionRegistry[action]?.kind !== 'inline',
    secrets,
    store: accounts,
    log,
    ...lease,
  })
  await fleet.recall()
  auth.onChanged(() => void fleet.recheck())
  const metrics = new HubMetrics({
    version: productVersion,
    openRuns: () => engine.openRuns(),
    fleet: () => fleet.figures(),
  })
  closers.push(() => metrics.close())
  let takingUp = true
  const store = observedStore(stores.runs, {
    seen(runId, events) {
      metrics.seen(runId, events)
      logRun(log, runId, events)
      bots.seen(runId, events)
    },
    read(runId, events) {
      if (takingUp) metrics.recall(runId, events)
    },
  })
  const engine = new Engine({
    store,
    host: fleet,
    outputs,
    outputQuota: new OutputQuota(
      outputLimits,
      outputLimits.perUserBytes === undefined ? [] : await stores.runs.outputByUser(),
    ),
    runSecrets: secrets,
    admit: async (run) => {
      bots.admit(run)
      await secrets.admit(run)
    },
    passOn: (runId, inputIds) => followUps.passOn(runId, inputIds),
    version: productVersion,
    log,
  })
  closers.push(() => engine.close())
  const followUps = new FollowUps(engine, accounts)
  const uploads = new Uploads({ dir: join(data, 'uploads'), log })
  const bots = new Bots({
    engine,
    secrets,
    uploads,
    data: { store: stores.botData, asks: fleet.asks },
    quota: { ...DEFAULT_BOT_QUOTA, ...botQuota },
    checkRoom: (ask) => fleet.runners.checkBot(ask),
    live: (attemptId) => fleet.liveBot(attemptId),
    heardForMs: (attemptId) => fleet.heardForMs(attemptId),
    log,
  })
  closers.push(() => bots.close())
  const app = createApi({
    engine,
    accounts,
    runners: fleet.runners,
    repositories: configFile,
    secrets,
    bots,
    followUps,
    uploads,
    auth,
    version: productVersion,
    metrics,
    openMetrics,
    hosts,
    ownRunner,
    limits: apiLimits,
    log,
  })
  fleet.attach(app.server)
  closers.push(
    () => app.close(),
    () => fleet.close(),
  )
  await listen(app, host, port)
  const bound = app.server.address() as AddressInfo
  const url = `http://${bound.address.includes(':') ? `[${bound.address}]` : bound.address}:${bound.port}`
  const localToken = await ownToken({
    accounts,
    scope: 'api',
    name: 'command line of the hub',
    file: join(data, 'local-token'),
  })
  writeLogin({ url, token: localToken }, localHubFile(data))
  const runnerToken = await ownToken({
    accounts,
    scope: 'runner',
    name: 'runner of the hub',
    file: join(data, 'runner-token'),
  })
  await engine.resume()
  takingUp = false
  fleet.ready()
  await bots.resume()
  const retention = new Retention({ engine, accounts, keptMs, log })
  closers.push(() => retention.close())
  return { url, runnerToken, localToken, reload: () => configFile.reload() }
}

function tellAside(folder: string | undefined, log: Log): void {
  if (folder !== undefined) log(`What an earlier hub had left is in ${folder} now.`)
}

/** A file in its place would hold back the end of every run, for as long as it is there. */
function madeFolder(path: string): string {
  try {
    makeFolderSync(path, 0o700)
    return path
  } catch (error) {
    throw diskError(error, path)
  }
}

/** A hub without its key works; what needs a secret does not. */
async function resealed(secrets: Secrets, log: HubOptions['log']): Promise<void> {
  try {
    const count = await secrets.reseal()
    if (count > 0)
      log(`Secrets sealed with the first key now: ${count}. The hub needs the other keys no more.`)
  } catch (error) {
    const { message, hint = '' } = error as ErrandError
    log(`Steps that have secrets will fail: ${message} ${hint}`)
  }
}

async function listen(app: ReturnType<typeof createApi>, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') {
      throw new ErrandError('address_in_use', `Port ${port} on ${host} is taken by another program.`, {
        hint: `Choose another with --port, such as: errand up --port ${port + 1}`,
        cause,
      })
    }
    throw new ErrandError('invalid_argument', `Cannot listen on ${host}:${port}: ${message}`, {
      hint: 'Name an address of this machine with --host, and a port that this user may take with --port.',
      cause,
    })
  }
}
