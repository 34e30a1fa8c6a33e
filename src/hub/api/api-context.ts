import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { ChangePool, PoolView } from '../../contract/fleet/provisioning.ts'
import type { RunnerGroup } from '../../contract/fleet/runner-groups.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import type { WorkspaceLook } from '../../contract/runs/workspace-looks.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { CheckAside } from '../../engine/workflow-file/check-aside.ts'
import type { Log } from '../../platform/log.ts'
import type { AccountStore, TenantRunner } from '../../stores/accounts.ts'
import type { ArtifactStore } from '../../stores/artifacts/artifact-store.ts'
import type { PersonalStore } from '../../stores/sqlite/personal.ts'
import type { PlaceStore } from '../../stores/sqlite/places.ts'
import type { FollowUps } from '../agents/follow-ups.ts'
import type { OpenApprovals } from '../approvals/open-approvals.ts'
import type { RunArtifacts } from '../artifacts/run-artifacts.ts'
import type { StoredArtifacts } from '../artifacts/stored-artifacts.ts'
import type { Auth } from '../auth/auth.ts'
import type { Bots } from '../bots/bots.ts'
import type { Uploads } from '../bots/uploads.ts'
import type { ForgeHooks } from '../forges/forge-hooks.ts'
import type { RunLines } from '../lines/run-lines.ts'
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
  /** Largest request body. */
  bodyBytes: number
  /** A request must have arrived whole within this; where its route is `endless`, no two of its bytes are further apart. */
  requestMs: number
  /** A reader of events or output that takes nothing for this long is cut off. */
  slowReaderMs: number
  /** Most streams of events, logs and output that a user may have open. */
  readersPerUser: number
  /** How often a quiet event stream says that it is there. */
  keepAliveMs: number
  /** How long an answer of an agent is waited for within a request. */
  chatSeconds: number
  /** How long the log that a job asks for is. */
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

/** The settings of repositories that the hub was given. */
export interface Repositories {
  /** The one runner group that runs for it go to; undefined: any. */
  groupOf(repository: string | undefined): string | undefined
  /** The groups that are named, with their repositories and least boxes. */
  groups?(): Pick<RunnerGroup, 'name' | 'repositories' | 'isolation' | 'network'>[]
}

/** Groups whose runners are made. */
export interface PoolsFace {
  /** Calls whenever the list may be another. */
  onChanged(call: () => void): void
  /** As the tenant sees them. */
  list(tenant: string): PoolView[]
  /** Other settings than the file has, kept when this resolves. Throws `not_found`, `invalid_argument`. */
  change(group: string, change: ChangePool, by: string): Promise<void>
  /** Takes runners of the group away, those at work only where asked. Answers how many. Throws `not_found`. */
  empty(group: string, options: { working: boolean; by: string }): number
}

/** The questions to a runner about the folder of a session. Throws what the runner says, or `unavailable`. */
export interface LookAsks {
  answer(of: TenantRunner, ask: WorkspaceLook, withinMs: number): Promise<RunnerAnswer>
  body(of: TenantRunner, ask: WorkspaceLook, withinMs: number): Promise<Readable>
}

/** All that the routes work with. */
export interface ApiContext {
  engine: EngineFace
  accounts: AccountStore
  runners: RunnersFace
  repositories: Repositories
  /** Absent: no group makes its runners. */
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
  asks: LookAsks
  contents: Pick<ArtifactStore, 'receive'>
  auth: Auth
  version: string
  limits: ApiLimits
  streams: PacedResponses
  ownRunner?: boolean
  /** Checks large workflow files. */
  checkAside: CheckAside
  /** Names under which a proxy on this machine passes people on. */
  hosts: readonly string[]
  changes: { runs: Changes; tasks: Changes }
  approvals: OpenApprovals
  places: PlaceStore
  personal: PersonalStore
  notifier: Notifier
  /** Absent: the hub has no dashboard. */
  page?: BuiltPage
  metrics: HubMetrics
  outside: Pick<OutsideServices, 'list'>
  dataFolder: string
  /** How long an ended run is kept; absent: for ever. */
  runsKeptMs?: number
  log: Log
}

export type ApiApp = FastifyInstance

/** The fleet as the API needs it. */
export interface RunnersFace {
  /** The tenant's runners, connected or not. */
  list(tenant: string): RunnerView[] | Promise<RunnerView[]>
  /** Calls whenever one comes, goes, or has more or less to do. Absent: they never change. */
  onChanged?(call: () => void): void
  /** Attempts that the runner was given and has not ended; none where the runner is not known. */
  attempts(runner: TenantRunner): AttemptSpec[] | Promise<AttemptSpec[]>
  /** Attempts of the tenant that wait for a runner, and why; first come, first. Absent: none ever waits. */
  waiting?(tenant: string): { spec: AttemptSpec; why: string }[]
  /**
   * The runner takes nothing new and finishes what it has, until `undrain`. False: the runner is not known.
   */
  drain(runner: TenantRunner): boolean | Promise<boolean>
  /** False: it is not known. */
  undrain(runner: TenantRunner): boolean | Promise<boolean>
  /** Forgets it and closes its link; what it had is lost. False: it is not known. */
  remove(runner: TenantRunner): boolean | Promise<boolean>
}
