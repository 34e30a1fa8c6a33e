import type { Server } from 'node:http'
import { join } from 'node:path'
import type { TaskRegistryOptions } from '../compat/task-registry.ts'
import { ConfigFile } from '../config/config-file.ts'
import type { BotLive } from '../contract/bots/bot.ts'
import { runSummary } from '../engine/core/view.ts'
import { Engine } from '../engine/engine.ts'
import type { StepHost } from '../engine/ports.ts'
import { type OutputLimits, OutputQuota } from '../engine/runtime/output-quota.ts'
import { checksAside } from '../engine/workflow-file/check-aside.ts'
import { type CallerOf, callersBehind } from '../platform/callers.ts'
import type { Log } from '../platform/log.ts'
import { shownElsewhere } from '../platform/shown-address.ts'
import type { AccountStore } from '../stores/accounts.ts'
import { type ArtifactLimits, ArtifactStore } from '../stores/artifacts/artifact-store.ts'
import { FileOutputStore } from '../stores/outputs/files.ts'
import { KeyRing } from '../stores/secrets/key-ring.ts'
import type { SqliteStores } from '../stores/sqlite/stores.ts'
import { FollowUps } from './agents/follow-ups.ts'
import type { ApiApp, ApiLimits, RunnersFace, WorkspaceQueries } from './api/api-context.ts'
import { createApi, listen } from './api/app.ts'
import { rowOfTask } from './api/tasks.ts'
import { OpenApprovals } from './approvals/open-approvals.ts'
import { RunArtifacts } from './artifacts/run-artifacts.ts'
import { StoredArtifacts } from './artifacts/stored-artifacts.ts'
import type { Auth } from './auth/auth.ts'
import type { LoginLimits } from './auth/login-limit.ts'
import { ensureAdmin } from './auth/tokens.ts'
import { madeFolder, openAuth, openStores, ownTokens, resealed } from './bootstrap.ts'
import { type BotQuota, DEFAULT_BOT_QUOTA } from './bots/bot-admission.ts'
import type { DataQueries } from './bots/bot-data.ts'
import { Bots } from './bots/bots.ts'
import { Uploads } from './bots/uploads.ts'
import type { BotAsk } from './fleet/bot-room.ts'
import { Fleet } from './fleet/fleet.ts'
import { AppTokens } from './forges/app-tokens.ts'
import { ForgeHooks } from './forges/forge-hooks.ts'
import { IssueComments } from './forges/issue-comments.ts'
import { issueIntake } from './forges/issue-intake.ts'
import { IssueWatcher } from './forges/issue-watcher.ts'
import { type OpenForgesOptions, openForges } from './forges/open-forges.ts'
import { RunLines } from './log-index/run-lines.ts'
import { Notifier, type NotifierOptions } from './notify/notifier.ts'
import { type FleetFigures, HubMetrics } from './ops/hub-metrics.ts'
import { logRun, observedStore } from './ops/observed-store.ts'
import { OutsideServices } from './ops/outside-services.ts'
import { Retention } from './ops/retention.ts'
import { BuiltPage } from './page/built-page.ts'
import { Changes, FormerShares, rowOfRun } from './page/changes.ts'
import { fillRows } from './page/fill-rows.ts'
import { type MakersOptions, openPools } from './provisioners/open-pools.ts'
import { Secrets } from './secrets.ts'
import { RepoPool, type SlotQueries } from './tasks/repo-pool.ts'
import type { TaskRun } from './tasks/task-conductor.ts'
import { Tasks } from './tasks/tasks.ts'
import { tryWorkflow } from './tasks/try-workflow.ts'
import type { TaskLimits } from './tasks/wip-limit.ts'

/** The machines that run attempts, as a hub needs them. `Fleet` is the implementation for connected runners. */
export interface Machines extends StepHost {
  readonly runners: RunnersFace & { checkBot(ask: BotAsk): void }
  readonly queries: DataQueries & SlotQueries & WorkspaceQueries
  liveBot(attemptId: string): BotLive | undefined
  contactMs(attemptId: string): number
  figures(): FleetFigures
  /** Loads what the previous process knew of them. Called before the runs are resumed. */
  restore(): Promise<void>
  /** Accepts their links on the server of the API. */
  attach(server: Server, callerOf: CallerOf): void
  /** Called when the demands of their groups have changed. */
  groupsChanged?(): void
  /** Checks the tokens of open links again. */
  recheck(): Promise<void>
  /** Called when all open runs are resumed: machines are welcome from now on. */
  ready(): void
  close(): Promise<void>
}

/** Access for programs and people on the hub's own machine. */
export interface OwnAccess {
  /**
   * Called at once at the first start on this folder: later steps may fail, and the next start does not know the
   * password.
   */
  reportAdmin(admin: { username: string; password: string }): void
  /**
   * Called when requests are answered, before open runs are resumed. The token is for the commands of this machine's
   * user.
   */
  opened?(hub: { url: string; localToken: string }): void
}

export interface HubOptions {
  /** Data folder with the database, output and tokens of this machine. The caller holds its lock. */
  data: string
  /** Database file; by default `errand.db` in the data folder. `:memory:` stores nothing durably. */
  database?: string
  /** True to put aside what a hub without its database has left. */
  isNew?: boolean
  host: string
  port: number
  version: string
  /** Environment in which the key of the secrets is looked up. */
  env: Readonly<Record<string, string | undefined>>
  /** Path of `errand.yaml`, if there is one. */
  config?: string
  /** Reports whether what the action does outlives the runner's process. */
  isDurable(action: string): boolean
  /** Machines that run attempts; by default the runners that connect. */
  machines?: Machines
  /** Milliseconds that ended runs stay; absent means forever. */
  retainMs?: number
  lease?: { heartbeatMs: number; lostAfterMs: number }
  /** True if requests from this machine may read the metrics without a token. */
  openMetrics?: boolean
  /**
   * Folder of the built dashboard, and the path under which a proxy shows the hub (`/errand`). Absent if there is
   * none.
   */
  page?: { folder: string; basePath?: string }
  /** Names under which a proxy on this machine passes requests on. */
  hosts?: readonly string[]
  /** Addresses and ranges of proxies that are trusted to name the caller. */
  proxies?: readonly string[]
  /** True if a runner of the hub itself runs steps as the hub's user. */
  ownRunner?: boolean
  apiLimits?: Partial<ApiLimits>
  loginLimits?: LoginLimits
  /** Limits the output that is stored. */
  outputLimits?: OutputLimits
  /** Limits what runs store besides their logs. */
  artifactLimits?: ArtifactLimits
  /** Limits the bots of each user. */
  botQuota?: BotQuota
  /** Milliseconds that the run of an update must be up before it replaces the one before. */
  botSettleMs?: number
  /** Settings of coding tasks: the workflow of a try (by default that of the blueprint), and how they are conducted. */
  tasks?: {
    run?: TaskRun
    limits?: TaskLimits
    retryMs?: number
    /** First and longest wait between looks at a pull request, in milliseconds. */
    reviewPollMs?: { first: number; most: number }
    createUnknown?: boolean
    registry?: TaskRegistryOptions
  }
  /** Returns a fetch for forges that the hub may speak to. If absent, every server is allowed. */
  forgeFetch?: OpenForgesOptions['forgeFetch']
  /** Milliseconds that one request to a forge may take. Default 15,000. */
  forgeTimeoutMs?: number
  /** Settings for notifying people of what needs them. */
  notify?: Pick<NotifierOptions, 'mail' | 'retryMs' | 'timeoutMs' | 'patienceMs'> & {
    /** Fetches webhooks and topics that the hub may speak to. If absent, every server is allowed. */
    fetch?: typeof globalThis.fetch
    /** Address at which people open the hub, for links. By default its own address. */
    publicUrl?: string
  }
  /** Settings for groups that provision their runners. If absent, none do. */
  makers?: Pick<MakersOptions, 'runner' | 'env' | 'patience'>
  /** Tokens that the operator has chosen. */
  configuredTokens?: { client?: string; runner?: string }
  /** Absent to create neither a first user nor tokens of this machine. */
  own?: OwnAccess
  log: Log
}

/** A running hub and its parts. */
export interface Hub {
  url: string
  /** Token for a runner on this machine. Undefined without `own`, like the next one. */
  runnerToken?: string
  /** Token for the commands of this machine's user; it acts as an admin. */
  localToken?: string
  app: ApiApp
  engine: Engine
  accounts: AccountStore
  auth: Auth
  stores: SqliteStores
  outputs: FileOutputStore
  secrets: Secrets
  uploads: Uploads
  artifacts: RunArtifacts
  stored: StoredArtifacts
  bots: Bots
  tasks: Tasks
  /** Reads the configuration again. */
  reload(): void
  /** Stops serving; runs stay open in the store. May be called twice. */
  close(): Promise<void>
}

/**
 * Starts a hub with SQLite and files in one folder. Throws `address_in_use`, `invalid_argument` or `store_failed`,
 * and leaves nothing open then.
 */
export async function startHub(options: HubOptions): Promise<Hub> {
  const closers: (() => unknown)[] = []
  let closing: Promise<void> | undefined
  const closeAll = async (): Promise<void> => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer()
  }
  const close = (): Promise<void> => (closing ??= closeAll())
  try {
    return { ...(await start(options, closers)), close }
  } catch (error) {
    await close().catch((failure: Error) => options.log(`While stopping: ${failure.message}`))
    throw error
  }
}

/** Opens all parts. Each adds how it is closed to `closers`, which run in the opposite order. */
async function start(options: HubOptions, closers: (() => unknown)[]): Promise<Omit<Hub, 'close'>> {
  const { data, version, own, outputLimits = {}, log } = options
  const configFile = new ConfigFile({ file: options.config, log })
  closers.push(() => configFile.close())
  const stores = await openStores(options)
  closers.push(() => stores.close())
  const { accounts } = stores
  const admin = own && (await ensureAdmin(accounts))
  if (admin !== undefined) own!.reportAdmin(admin)
  const outputs = new FileOutputStore({ dir: madeFolder(join(data, 'output')) })
  closers.push(() => outputs.close())
  const contents = new ArtifactStore({ dir: join(data, 'artifacts'), limits: options.artifactLimits })
  const keys = new KeyRing({ env: options.env, file: join(data, 'secrets.key') })
  const apps = new AppTokens(configFile)
  const outside = new OutsideServices(log)
  const secrets = new Secrets(stores.secrets, keys, apps)
  const auth = await openAuth({ ...options, accounts, secrets })
  await resealed(secrets, log)
  const makers = options.makers && {
    ...options.makers,
    ...{ configFile, stores, auth, secrets, data, outside, log },
    isOpen: (runId: string) => engine.isOpen(runId),
    setAsideSince: (runId: string) => engine.setAsideSince(runId),
    url: () => publicUrl ?? ownUrl,
  }
  const pools = makers && (await openPools(makers))
  const machines: Machines =
    options.machines ??
    new Fleet({
      provisionedGroups: pools,
      authenticate: (token) => auth.authenticateRunner(token),
      isDurable: options.isDurable,
      secrets,
      store: accounts,
      groupBoxes: (group) => configFile.boxOf(group),
      log,
      ...options.lease,
    })
  await machines.restore()
  auth.onChanged(() => void machines.recheck())
  configFile.onChanged(() => machines.groupsChanged?.())
  if (pools !== undefined && machines instanceof Fleet) pools.serve(machines)
  const metrics = new HubMetrics({
    version,
    openRuns: () => engine.openRuns(),
    setAside: () => engine.setAside().length,
    fleet: () => machines.figures(),
    failingServices: () => outside.counts(),
  })
  closers.push(() => metrics.close())
  const formerShares = new FormerShares()
  const changedRuns = new Changes({
    read: async (runId) => rowOfRun(await engine.get(runId), runSummary, formerShares.of(runId)),
  })
  const approvals = new OpenApprovals()
  const { fetch = globalThis.fetch, publicUrl, ...notify } = options.notify ?? {}
  const notifier = new Notifier({
    ...notify,
    ...{ fetch, accounts, secrets, outside, log, store: stores.channels },
    runs: { get: (runId) => engine.get(runId) },
    address: () =>
      publicUrl?.replace(/\/+$/, '') ?? `${ownUrl && shownElsewhere(ownUrl)}${options.page?.basePath ?? ''}`,
  })
  closers.push(() => notifier.close())
  let ownUrl = ''
  let takingUp = true
  const store = observedStore(stores.runs, {
    seen(runId, events) {
      metrics.seen(runId, events)
      logRun(log, runId, events)
      bots.seen(runId, events)
      approvals.seen(runId, events)
      notifier.seen(runId, events)
    },
    changed(runId, sharedBefore) {
      formerShares.add(runId, sharedBefore)
      changedRuns.changed(runId)
    },
    read(runId, events) {
      if (!takingUp) return
      metrics.restore(runId, events)
      approvals.seen(runId, events)
      notifier.seen(runId, events)
    },
  })
  const checkAside = checksAside()
  const engine = new Engine({
    checkAside,
    store,
    host: machines,
    outputs,
    outputQuota: new OutputQuota(
      outputLimits,
      outputLimits.perUserBytes === undefined ? [] : await stores.runs.outputByUser(),
    ),
    runSecrets: secrets,
    dropBeside: (runId) => contents.remove(runId),
    admit: async (run) => {
      bots.admit(run)
      await secrets.admit(run)
    },
    passOn: (runId, inputIds) => followUps.passOn(runId, inputIds),
    version,
    log,
  })
  closers.push(() => engine.close())
  const followUps = new FollowUps(engine, accounts)
  const artifacts = new RunArtifacts({ engine, store: contents, log })
  const stored = new StoredArtifacts({ store: stores.storedArtifacts, contents, log })
  closers.push(
    () => artifacts.close(),
    () => stored.close(),
  )
  const uploads = new Uploads({ dir: join(data, 'uploads'), log })
  const bots = new Bots({
    engine,
    secrets,
    uploads,
    data: { store: stores.botData, asks: machines.queries },
    quota: options.botQuota ?? DEFAULT_BOT_QUOTA,
    checkRoom: (ask) => machines.runners.checkBot(ask),
    live: (attemptId) => machines.liveBot(attemptId),
    contactMs: (attemptId) => machines.contactMs(attemptId),
    settleMs: options.botSettleMs,
    log,
  })
  closers.push(() => bots.close())
  const {
    run: taskRun = tryWorkflow({
      ...{ secrets, repositories: configFile, forges: configFile },
      playbooks: () => configFile.playbooks(),
    }),
    reviewPollMs,
    ...ofTasks
  } = options.tasks ?? {}
  const forgeOf = openForges({
    ...{ secrets, apps, forges: configFile, forgeFetch: options.forgeFetch },
    ...{ outside, timeoutMs: options.forgeTimeoutMs },
  })
  const issueTask = issueIntake({
    forgeOf,
    there: async ({ tenant, owner }, { spec_name, task_id: own_id }) => {
      const found = await stores.tasks.find({ tenant, spec_name, own_id })
      return found?.owner === owner ? found.task : undefined
    },
  })
  const changedTasks = new Changes({ read: async (id) => rowOfTask(await stores.tasks.get(id)) })
  const tasks = new Tasks({
    ...ofTasks,
    store: stores.tasks,
    engine,
    taskRun,
    issueTask,
    review: { forgeOf, pollMs: reviewPollMs },
    outside,
    log,
    changed: (id) => {
      changedTasks.changed(id)
      comments.changed(id)
    },
  })
  closers.push(() => tasks.close())
  const comments = new IssueComments({
    async get(id) {
      const { tenant, owner } = (await stores.tasks.get(id)) ?? {}
      if (tenant === undefined || owner === undefined) return undefined
      return await tasks.get({ by: { tenant, owner, isAdmin: true }, ref: id })
    },
    open: async () => (await stores.tasks.open()).map(({ id }) => id),
    forgeOf,
    accounts,
    log,
  })
  closers.push(() => comments.close())
  const watcher = new IssueWatcher({
    watched: () => configFile.watched(),
    forgeOf,
    tasks: {
      has: async ({ tenant }, { spec_name, task_id: own_id }) =>
        (await stores.tasks.find({ tenant, spec_name, own_id })) !== undefined,
      create: (user, task) =>
        tasks.create({ ...user, isAdmin: false }, { tasks: [task], field: 'body.task' }),
    },
    accounts,
    log,
  })
  closers.push(() => watcher.close())
  const hooks = new ForgeHooks({
    forges: configFile,
    secrets,
    wake: (news) => tasks.wake(news) + watcher.wake(news),
  })
  const { queries, runners } = machines
  const pool = new RepoPool({ store: stores.poolSlots, asks: queries, runners, secrets })
  const callerOf = callersBehind(options.proxies ?? [])
  const app = createApi({
    engine,
    accounts,
    runners: machines.runners,
    ...{ dataFolder: options.data, runsKeptMs: options.retainMs },
    repositories: configFile,
    pools,
    secrets,
    bots,
    tasks,
    hooks,
    followUps,
    uploads,
    artifacts,
    stored,
    lines: new RunLines({ engine, dir: join(data, 'output') }),
    contents,
    pool,
    asks: queries,
    auth,
    version,
    metrics,
    outside,
    openMetrics: options.openMetrics,
    hosts: options.hosts,
    callerOf,
    checkAside,
    ownRunner: options.ownRunner,
    changes: { runs: changedRuns, tasks: changedTasks },
    approvals,
    channels: stores.channels,
    personal: stores.personal,
    notifier,
    page: options.page && new BuiltPage(options.page),
    limits: options.apiLimits,
    log,
  })
  machines.attach(app.server, callerOf)
  closers.push(
    () => pools?.close(),
    () => app.close(),
    () => machines.close(),
    () => pool.close(),
  )
  const url = await listen(app, options)
  ownUrl = url
  const tokens = own && (await ownTokens(accounts, data))
  if (tokens !== undefined) own!.opened?.({ url, localToken: tokens.localToken })
  await engine.resume()
  takingUp = false
  machines.ready()
  pools?.begin()
  await notifier.begin(async () => {
    const created_after = new Date(Date.now() - 86_400_000).toISOString()
    return (await engine.list({ statuses: ['failed', 'interrupted'], created_after, limit: 500 })).runs
  })
  await bots.resume()
  await tasks.resume()
  await comments.resume()
  watcher.look()
  configFile.onChanged(() => watcher.look())
  artifacts.keepSwept()
  stored.keepSwept()
  const retention = new Retention({ engine, accounts, tasks, stored, retainMs: options.retainMs, log })
  closers.push(() => retention.close())
  const rows = fillRows({ store: stores.runs, engine, log })
  closers.push(() => rows.close())
  const stored_ = { stores, outputs, secrets, uploads, artifacts, stored }
  const parts = { app, engine, accounts, auth, ...stored_, bots, tasks }
  return { url, ...tokens, ...parts, reload: () => configFile.reload() }
}
