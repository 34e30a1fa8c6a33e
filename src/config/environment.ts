import { cpus, hostname, totalmem } from 'node:os'
import { ErrandError } from '../contract/errors.ts'
import { callersBehind } from '../platform/callers.ts'
import { type Env, readSetting, setting } from './read-setting.ts'
import { namesOf, type SettingKey, settings } from './settings.ts'

/** Returns how the command line reaches a hub. */
export const clientEnvironment = (env: Env): { url?: string; token?: string } => ({
  url: setting(env, 'ERRAND_URL'),
  token: setting(env, 'ERRAND_TOKEN'),
})

/**
 * Returns the limits of bots: how many a user may have at once, the longest and the default life of one, and the limits
 * of their data. Infinity: without end. Throws `invalid_argument`.
 */
export function botEnvironment(env: Env): {
  maxBots?: number
  maxSeconds?: number
  defaultSeconds?: number
  maxDataBytes?: number
} {
  const maxBots = setting(env, 'ERRAND_MAX_BOTS')
  const maxSeconds = setting(env, 'ERRAND_BOT_HOURS')
  const defaultSeconds = setting(env, 'ERRAND_BOT_DEFAULT_HOURS')
  const maxDataBytes = setting(env, 'ERRAND_BOT_DATA')
  return {
    ...(maxBots !== undefined && { maxBots }),
    ...(maxSeconds !== undefined && { maxSeconds }),
    ...(defaultSeconds !== undefined && { defaultSeconds }),
    ...(maxDataBytes !== undefined && { maxDataBytes }),
  }
}

/** Returns how a hub conducts coding tasks, and to which registry it reports them. Throws `bad_request`. */
export function taskEnvironment(env: Env): {
  limits: { perOwner?: number; perRepository?: number; inReviewPerRepository?: number }
  retryMs: number
  reviewPollMs: { first: number; most: number }
  createUnknown: boolean
  registry?: { url: string; token?: string }
} {
  const url = setting(env, 'ERRAND_TASK_REGISTRY_URL')
  const first = setting(env, 'ERRAND_REVIEW_POLL')
  return {
    limits: {
      perOwner: setting(env, 'ERRAND_TASKS_PER_OWNER'),
      perRepository: setting(env, 'ERRAND_TASKS_PER_REPOSITORY'),
      inReviewPerRepository: setting(env, 'ERRAND_TASKS_IN_REVIEW'),
    },
    retryMs: setting(env, 'ERRAND_TASK_RETRY'),
    reviewPollMs: { first, most: 10 * first },
    createUnknown: setting(env, 'ERRAND_TASKS_UNKNOWN') === 'keep',
    ...(url !== undefined && { registry: { url, token: setting(env, 'ERRAND_TASK_REGISTRY_TOKEN') } }),
  }
}

/** Returns the tokens that the operator has chosen: a user's, and one for all runners. Throws `invalid_argument`. */
export const configuredTokens = (env: Env): { client?: string; runner?: string } => ({
  client: setting(env, 'ERRAND_CLIENT_TOKEN'),
  runner: setting(env, 'ERRAND_WORKER_TOKEN'),
})

/** Returns the host names under which a proxy on this machine forwards requests. Throws `bad_request`. */
export function allowedHosts(env: Env): string[] {
  const names = setting(env, 'ERRAND_HOST_ALLOW').map((name) => name.toLowerCase())
  const wrong = names.find((name) => !/^[a-z0-9._-]+$/.test(name))
  if (wrong === undefined) return names
  throw new ErrandError('bad_request', `ERRAND_HOST_ALLOW contains "${wrong}", which is not a host name`, {
    hint: 'write only names, separated by commas: hub.example.com,hub',
  })
}

/** Returns the addresses and ranges of trusted proxies, which name the caller. Throws `bad_request`. */
export function trustedProxies(env: Env): string[] {
  const proxies = setting(env, 'ERRAND_TRUSTED_PROXIES')
  try {
    callersBehind(proxies)
    return proxies
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new ErrandError(
      'bad_request',
      `ERRAND_TRUSTED_PROXIES contains "${error.message}", which is not an address or a range`,
      {
        hint: 'write addresses or ranges, separated by commas: 127.0.0.1,10.0.0.0/8,fd00::/8',
      },
    )
  }
}

/** Returns how much output a hub stores; undefined: all. Throws `bad_request`. */
export const outputLimits = (env: Env): { perRunBytes?: number; perUserBytes?: number } => ({
  perRunBytes: limited(setting(env, 'ERRAND_MAX_OUTPUT_RUN')),
  perUserBytes: limited(setting(env, 'ERRAND_MAX_OUTPUT_USER')),
})

/** Returns how much is stored alongside the logs of runs; undefined: all. Throws `bad_request`. */
export const artifactLimits = (env: Env): { perRunBytes?: number; perUserBytes?: number } => ({
  // Without a value, the store applies a limit of its own.
  perRunBytes: limited(setting(env, 'ERRAND_MAX_ARTIFACTS_RUN')) ?? Number.POSITIVE_INFINITY,
  perUserBytes: limited(setting(env, 'ERRAND_MAX_ARTIFACTS_USER')),
})

/**
 * Returns for how long ended runs are stored, from `--retention` or ERRAND_RETENTION. Undefined: for ever. Throws
 * `bad_request`.
 */
export const retentionMs = (option: string | undefined, env: Env): number | undefined =>
  limited(
    option === undefined
      ? setting(env, 'ERRAND_RETENTION')
      : readSetting('ERRAND_RETENTION', { name: '--retention', value: option }),
  )

/** The times after which a silent link is dropped, and after which an absent runner's attempts are lost. */
export interface Lease {
  heartbeatMs: number
  lostAfterMs: number
}

/** Reads `--heartbeat` and `--lost-after`, or ERRAND_HEARTBEAT and ERRAND_LOST_AFTER. Throws `bad_request`. */
export function leaseOf(options: { heartbeat?: string; 'lost-after'?: string }, env: Env): Lease {
  const read = (option: keyof typeof options, key: 'ERRAND_HEARTBEAT' | 'ERRAND_LOST_AFTER'): number => {
    const value = options[option]
    return value === undefined ? setting(env, key) : readSetting(key, { name: `--${option}`, value })
  }
  return {
    heartbeatMs: read('heartbeat', 'ERRAND_HEARTBEAT'),
    lostAfterMs: read('lost-after', 'ERRAND_LOST_AFTER'),
  }
}

const limited = (value: number): number | undefined => (Number.isFinite(value) ? value : undefined)

export const runnerModes = settings.ERRAND_MODE.choices
export type RunnerMode = (typeof runnerModes)[number]

export interface RunnerEnvironment {
  hubUrl?: string
  token?: string
  /** Exchanged at the first start for a token that is stored. */
  enrollToken?: string
  runnerId?: string
  /** The name that the hub gave this provisioned runner. */
  made?: string
  workspaceDir?: string
  mode: RunnerMode
  group: string
  /** The labels as written: `KEY=value`, separated by commas. */
  labels: string[]
  cpus: number
  memoryBytes: number
  /** Number of steps at once. */
  slots: number
  hostname: string
  tenantId?: string
}

/** Returns the settings in a runner's environment, with measured values for missing ones. Throws `invalid_argument`. */
export function runnerEnvironment(env: Env): RunnerEnvironment {
  const names = {
    runnerId: setting(env, 'ERRAND_RUNNER_ID'),
    made: setting(env, 'ERRAND_MADE_RUNNER'),
    group: setting(env, 'ERRAND_GROUP'),
    hostname: setting(env, 'ERRAND_HOSTNAME') ?? hostname(),
    tenantId: setting(env, 'ERRAND_TENANT_ID'),
    labels: (setting(env, 'ERRAND_LABELS') ?? '').split(',').filter((label) => label.trim() !== ''),
  }
  const offered = setting(env, 'ERRAND_CPUS') ?? cpus().length
  return {
    hubUrl: setting(env, 'ERRAND_HUB_URL'),
    token: setting(env, 'ERRAND_TOKEN of runner'),
    enrollToken: setting(env, 'ERRAND_ENROLL_TOKEN'),
    workspaceDir: setting(env, 'WORKSPACE_DIR'),
    mode: setting(env, 'ERRAND_MODE'),
    cpus: offered,
    memoryBytes: setting(env, 'ERRAND_MEMORY') ?? totalmem(),
    slots: setting(env, 'ERRAND_SLOTS') ?? Math.max(8, Math.floor(offered) * 4),
    ...names,
  }
}

/**
 * Returns the environment of provisioned runners, and of provisioner programs: the hub's, without its tokens and keys.
 */
export function provisionedEnvironment(env: Env, data: string): Record<string, string | undefined> {
  const resolved: Record<string, string | undefined> = { ...env, ERRAND_DATA: data }
  const closed: readonly SettingKey[] = [
    ...(['ERRAND_SECRETS_KEY', 'ERRAND_TOKEN', 'ERRAND_TOKEN of runner', 'ERRAND_CLIENT_TOKEN'] as const),
    ...([
      'ERRAND_WORKER_TOKEN',
      'ERRAND_ENROLL_TOKEN',
      'ERRAND_SMTP_URL',
      'ERRAND_TASK_REGISTRY_TOKEN',
    ] as const),
  ]
  for (const key of closed) for (const name of namesOf(key)) resolved[name] = undefined
  return resolved
}

/** Returns the external services that a runner uses. */
export function serviceEnvironment(
  env: Env,
): Partial<Record<'pool' | 'store', { url: string; token?: string }>> {
  const [pool, store] = [setting(env, 'ERRAND_REPO_POOL_URL'), setting(env, 'ERRAND_ARTIFACT_STORE_URL')]
  return {
    ...(pool !== undefined && { pool: { url: pool, token: setting(env, 'ERRAND_REPO_POOL_TOKEN') } }),
    ...(store !== undefined && { store: { url: store, token: setting(env, 'ERRAND_ARTIFACT_STORE_TOKEN') } }),
  }
}

/** Parses the option for the number of steps that a runner takes at once. Throws `invalid_argument`. */
export const slotsOption = (value: string | undefined): number | undefined =>
  value === undefined ? undefined : readSetting('ERRAND_SLOTS', { name: '--slots', value })

/** Returns how people are notified, according to the environment. Throws `invalid_argument`. */
export function notifyEnvironment(env: Env, fetch: typeof globalThis.fetch) {
  const publicUrl = setting(env, 'ERRAND_PUBLIC_URL') || undefined
  const smtp = setting(env, 'ERRAND_SMTP_URL') || undefined
  if (publicUrl !== undefined && !/^https?:$/.test(URL.parse(publicUrl)?.protocol ?? ''))
    throw new ErrandError(
      'invalid_argument',
      `ERRAND_PUBLIC_URL is "${publicUrl}", which is not an http:// or https:// address.`,
      {
        hint: 'Write it as https://errand.example.org, with the path under which a proxy serves the hub.',
      },
    )
  // The value may hold a password, so it is not shown.
  if (smtp !== undefined && !/^smtps?:$/.test(URL.parse(smtp)?.protocol ?? ''))
    throw new ErrandError('invalid_argument', 'ERRAND_SMTP_URL is not the address of a mail server.', {
      hint: 'Write it as smtps://USER:PASSWORD@mail.example.org, or smtp://mail.example.org:587.',
    })
  const from = setting(env, 'ERRAND_SMTP_FROM') || `errand@${hostname()}`
  return { fetch, publicUrl, mail: smtp === undefined ? undefined : { url: smtp, from } }
}
