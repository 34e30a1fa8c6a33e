import { Size } from '../amounts.ts'
import * as z from '../mini-zod.ts'
import { described } from '../mini-zod.ts'
import { VarName } from '../names.ts'

/** A bot's id, unique among the bots of its owner. */
export const BotId = z
  .string()
  .check(
    z.regex(
      /^[a-z0-9][a-z0-9_-]{0,62}$/i,
      'a bot id is letters, digits, "-" and "_", at most 63, not starting with a sign',
    ),
  )

const text = z.string().check(z.minLength(1), z.maxLength(4096))
const path = z.string().check(z.minLength(1), z.maxLength(1024))
const positive = z.int().check(z.positive())

/**
 * Credentials of a registry. The password is one of the step's secrets; it is used for one pull and given to no
 * container.
 */
export const RegistryAuth = z.strictObject({
  username: text,
  password_secret: described(VarName, "Variable, among the step's secrets, that holds the password or token"),
})

/**
 * Credentials of a Git server. The password is one of the step's secrets; it is used for one fetch and given to no
 * build.
 */
export const GitAuth = z.strictObject({
  username: z.optional(text),
  password_secret: RegistryAuth.shape.password_secret,
})

/** An image that was pulled with credentials, which are not stored: the local copy is used unchanged. */
export const PulledImage = z.strictObject({
  username: text,
  attempt_id: described(text, 'Attempt, of the same owner, that has pulled it'),
  runner: described(z.optional(text), 'The runner that has it, where the bot could have been on others'),
})
export type PulledImage = z.infer<typeof PulledImage>

/**
 * An image of a repository that was fetched with credentials, which are not stored: the local copy is used unchanged.
 */
export const BuiltImage = z.strictObject({
  username: z.optional(text),
  attempt_id: described(text, 'Attempt, of the same owner, that has built it'),
  runner: PulledImage.shape.runner,
})

/** The source of a bot's code. */
export const BotSource = z.discriminatedUnion('mode', [
  z.strictObject({
    mode: z.literal('simple'),
    files: described(z.record(path, z.string()), 'Source texts by path'),
    entrypoint: described(path, 'The file that is run'),
    requirements: described(z._default(z.array(z.string()), []), 'What pip or npm installs, a line each'),
    language: described(
      z.optional(z.enum(['python', 'node'])),
      'Default: what the ending of the entrypoint says',
    ),
    base_image: described(
      z.optional(text),
      'Default: BASE_IMAGE of the runner, else the usual one of the language',
    ),
  }),
  z.strictObject({
    mode: z.literal('archive'),
    upload: described(
      z.string().check(z.regex(/^[0-9a-f]{64}$/, 'an upload is named by its SHA-256, 64 hexadecimal digits')),
      'A zip, tar or tar.gz that the hub keeps, by its SHA-256',
    ),
    dockerfile: z._default(path, 'Dockerfile'),
  }),
  z.strictObject({
    mode: z.literal('git'),
    url: described(text, 'https:// address of a Git repository'),
    ref: described(z.optional(text), 'Branch, tag or commit; default: that of the repository'),
    dockerfile: z._default(path, 'Dockerfile'),
    git_auth: z.optional(GitAuth),
    built: z.optional(BuiltImage),
  }),
  z.strictObject({
    mode: z.literal('image'),
    image: described(text, 'Name of a ready image'),
    registry_auth: z.optional(RegistryAuth),
    pulled: z.optional(PulledImage),
  }),
])
export type BotSource = z.infer<typeof BotSource>

/** Default of `limits.work`; not in the schema, since runners of earlier versions do not know the field. */
export const DEFAULT_WORK = '1GB'

/** The limits of a bot's container. */
export const BotLimits = z.strictObject({
  memory: described(z._default(Size, '256MB'), 'Memory, with no swap beside it'),
  cpus: described(z._default(z.number().check(z.positive(), z.maximum(1024)), 0.5), 'Cores'),
  processes: described(z._default(positive, 100), 'Processes and threads'),
  disk: described(z._default(Size, '64MB'), 'Size of /tmp; in memory'),
  work: described(
    z.optional(Size),
    'What it may write into its working folder and the volumes of its image, beyond what the image has there; default 1GB; more ends it with reason quota',
  ),
  log: described(
    z._default(Size, '50MB'),
    'Most log bytes a day; what goes beyond is left out, with a line that says so',
  ),
})
export type BotLimits = z.infer<typeof BotLimits>

/**
 * Reports whether a container may have a volume of its own there: not where the machine or the image has what every
 * program needs.
 */
export function isOwnFolder(path: string): boolean {
  return (
    !SYSTEM_FOLDERS.has(path) && !SYSTEM_TREES.some((tree) => path === tree || path.startsWith(`${tree}/`))
  )
}
const SYSTEM_TREES = ['/bin', '/boot', '/dev', '/etc', '/lib', '/proc', '/run', '/sbin', '/sys', '/tmp']
const SYSTEM_FOLDERS = new Set(
  ['', 'bin', 'include', 'lib', 'lib64', 'local', 'local/bin', 'local/lib', 'sbin', 'share']
    .map((name) => `/usr/${name}`.replace(/\/$/, ''))
    .concat('/', '/lib32', '/lib64', '/libx32', '/var', '/var/lib', '/var/run'),
)

const dataPath = z
  .string()
  .check(
    z.regex(
      /^(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){1,8}$/,
      'the path of a place for data is absolute and plain, such as /data or /app/state',
    ),
    z.refine(isOwnFolder, 'a folder of the system is no place for data; take one such as /data'),
  )

/** A named volume that outlives the bot's containers. */
export const BotData = z.strictObject({
  path: described(z._default(dataPath, '/data'), 'Where the bot finds it'),
  size: described(z._default(Size, '1GB'), 'What may stand in it; more ends the bot with reason quota'),
  runner: described(z.optional(text), 'The runner that has it, where the bot could have been on others'),
})
export const WantedPlace = z.strictObject({ path: z.optional(dataPath), size: z.optional(Size) })
export type BotData = z.infer<typeof BotData>

export const restartPolicies = ['no', 'on-failure', 'always', 'unless-stopped'] as const
export const BotRestart = z.strictObject({
  policy: z._default(z.enum(restartPolicies), 'no'),
  max_restarts: described(
    z._default(z.int().check(z.minimum(1), z.maximum(1000)), 5),
    'With on-failure: a bot that fails more often, with less than ten minutes of life each time, is left crashed',
  ),
})
export type BotRestart = z.infer<typeof BotRestart>

/** Shortest interval between health checks, since the engine starts a process for each. */
export const LEAST_HEALTH_SECONDS = 5
const interval = z.number().check(z.minimum(LEAST_HEALTH_SECONDS), z.maximum(86_400))

/** A bot's health check, which replaces that of its image; absent: the image's counts. */
export const BotHealthCheck = z.union([
  z.literal('none'),
  z.strictObject({
    cmd: described(
      z.union([text, z.array(text).check(z.minLength(1), z.maxLength(256))]),
      'Run in the container, as a line of its shell or a program with arguments; exit code 0 means well',
    ),
    interval_seconds: described(z._default(interval, 30), 'Between two checks'),
    timeout_seconds: described(
      z._default(z.number().check(z.minimum(1), z.maximum(3600)), 30),
      'A check that takes longer has failed',
    ),
    retries: described(
      z._default(z.int().check(z.minimum(1), z.maximum(1000)), 3),
      'It is unhealthy after so many failures in a row',
    ),
    start_period_seconds: described(
      z._default(z.number().check(z.minimum(0), z.maximum(86_400)), 0),
      'From its start, failures do not count for so long',
    ),
  }),
])
export type BotHealthCheck = z.infer<typeof BotHealthCheck>

/** Arguments of `bot.serve`. Its environment is the step's `env`, and its secrets the step's `secrets`. */
export const BotServeArgs = z.strictObject({
  bot_id: BotId,
  source: BotSource,
  command: described(z.optional(z.array(text).check(z.minLength(1))), "Instead of the image's own command"),
  limits: z.prefault(BotLimits, {}),
  data: z.optional(BotData),
  restart: z.prefault(BotRestart, {}),
  health: z.optional(BotHealthCheck),
  runtime: described(z.optional(text), 'Container runtime, such as runsc; default: that of the runner'),
  stop_grace_seconds: described(
    z._default(z.number().check(z.minimum(0), z.maximum(600)), 10),
    'Between the request to end and the kill',
  ),
  refresh: described(z.optional(z.boolean()), 'Builds without what earlier builds have left'),
})
export type BotServeArgs = z.infer<typeof BotServeArgs>

/** States of a bot, as its users see them; derived from status, phase and reason of its run. */
export const botStates = ['start', 'building', 'pulling', 'running', 'stopped', 'crashed', 'timeout'] as const
export type BotState = (typeof botStates)[number]

/** Phases that `bot.serve` reports, in addition to `restarting`. */
export const botPhases = ['building', 'pulling', 'running'] as const

const moment = z.string().check(z.maxLength(64))
const count = z.number().check(z.minimum(0))
const usage = (unit: string) => described(z.optional(count), unit)

/** The usage of a bot: now, and its maximum so far. */
export const BotUsage = z.object({
  at: described(z.optional(moment), 'When it was measured (RFC 3339)'),
  cpus: usage('Cores'),
  peak_cpus: usage('Most cores'),
  cpu_ms: usage('Time of cores, so far'),
  memory_bytes: usage('Memory, without what is only a copy of files'),
  peak_memory_bytes: usage('Most memory'),
  network_bytes_per_second: usage('Received and sent'),
  peak_network_bytes_per_second: usage('Most received and sent'),
  network_received_bytes: usage('So far'),
  network_sent_bytes: usage('So far'),
  disk_read_bytes: usage('So far'),
  disk_written_bytes: usage('So far'),
  disk_bytes: usage('What it has written into its working folder and volumes, and its data'),
  peak_disk_bytes: usage('The most that was seen of that'),
})
export type BotUsage = z.infer<typeof BotUsage>

/** Most bytes of a check's output that are shown. */
export const MAX_HEALTH_OUTPUT = 2048
export const BotHealth = z.object({
  state: z.enum(['starting', 'healthy', 'unhealthy']),
  output: described(
    z.optional(z.string().check(z.maxLength(2 * MAX_HEALTH_OUTPUT))),
    'What its last check said',
  ),
  checked_at: z.optional(moment),
})
export type BotHealth = z.infer<typeof BotHealth>

/** The present state of a bot's attempt. No log stores it: its runner reports it repeatedly. */
export const BotLive = z.object({
  attempt_id: z.string(),
  engine_away_since: described(z.optional(moment), 'Its container engine has not answered since then'),
  cannot_reach: described(
    z.optional(z.string().check(z.maxLength(4096))),
    'Why it may not reach what its runner allows it, where that is so just now',
  ),
  health: z.optional(BotHealth),
  usage: z.optional(BotUsage),
})
export type BotLive = z.infer<typeof BotLive>
