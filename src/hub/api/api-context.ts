import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { ChangePool, PoolView } from '../../contract/fleet/provisioning.ts'
import type { RunnerGroup } from '../../contract/fleet/runner-groups.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import type { WorkspaceQuery } from '../../contract/runs/workspace-queries.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { CheckAside } from '../../engine/workflow-file/check-aside.ts'
import type { Log } from '../../platform/log.ts'
import type { AccountStore, TenantRunner } from '../../stores/accounts.ts'
import type { ArtifactStore } from '../../stores/artifacts/artifact-store.ts'
import type { ChannelStore } from '../../stores/sqlite/channels.ts'
import type { PersonalStore } from '../../stores/sqlite/personal.ts'
import type { FollowUps } from '../agents/follow-ups.ts'
import type { OpenApprovals } from '../approvals/open-approvals.ts'
import type { RunArtifacts } from '../artifacts/run-artifacts.ts'
import type { StoredArtifacts } from '../artifacts/stored-artifacts.ts'
import type { Auth } from '../auth/auth.ts'
import type { Bots } from '../bots/bots.ts'
import type { Uploads } from '../bots/uploads.ts'
import type { ForgeHooks } from '../forges/forge-hooks.ts'
import type { RunLines } from '../log-index/run-lines.ts'
import type { Notifier } from '../notify/notifier.ts'
import type { HubMetrics } from '../ops/hub-metrics.ts'
import type { OutsideServices } from '../ops/outside-services.ts'
import type { BuiltPage } from '../page/built-page.ts'
import type { Changes } from '../page/changes.ts'
import type { Secrets } from '../secrets.ts'
import type { RepoPool } from '../tasks/repo-pool.ts'
import type { Tasks } from '../tasks/tasks.ts'
import type { PacedResponses } from './http/paced-response.ts'

export interface ApiLimits {
  /** Largest request body, in bytes. */
  bodyBytes: number
  /**
   * Milliseconds that a request has to arrive completely. For an `endless` route, it is the longest gap between
   * bytes.
   */
  requestMs: number
  /** Milliseconds after which a reader of events or output that takes nothing is cut off. */
  slowReaderMs: number
  /** Limits the streams of events, logs and output that a user may have open. */
  readersPerUser: number
  /** Milliseconds between keep-alives of a quiet event stream. */
  keepAliveMs: number
  /** Seconds that a request waits for the answer of an agent. */
  chatSeconds: number
  /** Seconds that a request waits for the log that a job asks for. */
  jobSeconds: number
}
export const DEFAULT_READERS_PER_USER = 256
export const DEFAULT_API_LIMITS: ApiLimits = {
  bodyBytes: 8 * 1024 * 1024,
  requestMs: 120_000,
  slowReaderMs: 60_000,
  readersPerUser: DEFAULT_READERS_PER_USER,
  keepAliveMs: 15_000,
  chatSeconds: 300,
  jobSeconds: 5,
}

/** The repository settings that the hub was given. */
export interface Repositories {
  /** Returns the one runner group for runs of the repository, or undefined if any will do. */
  groupOf(repository: string | undefined): string | undefined
  /** Returns the named groups with their repositories and least boxes. */
  groups?(): Pick<RunnerGroup, 'name' | 'repositories' | 'isolation' | 'network'>[]
}

/** Manages the groups with provisioned runners. */
export interface PoolsFace {
  /** Registers a callback for whenever the list may have changed. */
  onChanged(call: () => void): void
  /** Lists the pools as the tenant sees them. */
  list(tenant: string): PoolView[]
  /** Overrides settings of the file; resolves once that is stored. Throws `not_found` or `invalid_argument`. */
  change(group: string, change: ChangePool, by: string): Promise<void>
  /** Removes runners of the group, working ones only if `working`. Returns how many. Throws `not_found`. */
  empty(group: string, options: { working: boolean; by: string }): number
}

/** Asks a runner about the folder of a session. Throws what the runner reports, or `unavailable`. */
export interface WorkspaceQueries {
  answer(of: TenantRunner, ask: WorkspaceQuery, withinMs: number): Promise<RunnerAnswer>
  body(of: TenantRunner, ask: WorkspaceQuery, withinMs: number): Promise<Readable>
}

/** Everything that the routes work with. */
export interface ApiContext {
  engine: EngineFace
  accounts: AccountStore
  runners: RunnersFace
  repositories: Repositories
  /** Absent if no group provisions its runners. */
  pools?: PoolsFace
  secrets: Secrets
  bots: Bots
  tasks: Tasks
  hooks: ForgeHooks
  followUps: FollowUps
  uploads: Uploads
  artifacts: RunArtifacts
  stored: StoredArtifacts
  lines: RunLines
  pool: RepoPool
  asks: WorkspaceQueries
  contents: Pick<ArtifactStore, 'receive'>
  auth: Auth
  version: string
  limits: ApiLimits
  streams: PacedResponses
  ownRunner?: boolean
  /** Checks large workflow files. */
  checkAside: CheckAside
  /** Names under which a proxy on this machine passes requests on. */
  hosts: readonly string[]
  changes: { runs: Changes; tasks: Changes }
  approvals: OpenApprovals
  channels: ChannelStore
  personal: PersonalStore
  notifier: Notifier
  /** Absent if the hub has no dashboard. */
  page?: BuiltPage
  metrics: HubMetrics
  outside: Pick<OutsideServices, 'list'>
  dataFolder: string
  /** Milliseconds that an ended run is stored; absent means forever. */
  runsKeptMs?: number
  log: Log
}

export type ApiApp = FastifyInstance

/** The fleet as the API needs it. */
export interface RunnersFace {
  /** Lists the tenant's runners, connected or not. */
  list(tenant: string): RunnerView[] | Promise<RunnerView[]>
  /** Registers a callback for whenever a runner comes, goes, or has more or less to do. Absent if they never change. */
  onChanged?(call: () => void): void
  /** Lists the attempts that the runner was given and has not ended; none if the runner is not known. */
  attempts(runner: TenantRunner): AttemptSpec[] | Promise<AttemptSpec[]>
  /**
   * Lists the attempts of the tenant that wait for a runner, in order of arrival, each with the reason. Absent if
   * none ever waits.
   */
  waiting?(tenant: string): { spec: AttemptSpec; why: string }[]
  /** Makes the runner take nothing new and finish what it has, until `undrain`. Returns false if it is not known. */
  drain(runner: TenantRunner): boolean | Promise<boolean>
  /** Ends the draining. Returns false if the runner is not known. */
  undrain(runner: TenantRunner): boolean | Promise<boolean>
  /** Forgets the runner and closes its link; its attempts are lost. Returns false if it is not known. */
  remove(runner: TenantRunner): boolean | Promise<boolean>
}
