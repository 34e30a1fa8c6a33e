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
      'a bot id is at most 63 letters, digits, "-" or "_", and starts with a letter or digit',
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
  password_secret: described(VarName, "Variable among the step's secrets that holds the password or token"),
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
  attempt_id: described(text, 'Attempt of the same owner that has pulled the image'),
  runner: described(z.optional(text), 'The runner that has it, if the bot could also run on others'),
})
export type PulledImage = z.infer<typeof PulledImage>

/**
 * An image of a repository that was fetched with credentials, which are not stored: the local copy is used unchanged.
 */
export const BuiltImage = z.strictObject({
  username: z.optional(text),
  attempt_id: described(text, 'Attempt of the same owner that has built the image'),
  runner: PulledImage.shape.runner,
})

/** The source of a bot's code. */
export const BotSource = z.discriminatedUnion('mode', [
  z.strictObject({
    mode: z.literal('simple'),
    files: described(z.record(path, z.string()), 'Source texts by path'),
    entrypoint: described(path, 'The file to run'),
    requirements: described(
      z._default(z.array(z.string()), []),
      'Packages for pip or npm to install, one per line',
    ),
    language: described(
      z.optional(z.enum(['python', 'node'])),
      'Default: by the extension of the entrypoint',
    ),
    base_image: described(
      z.optional(text),
      'Default: BASE_IMAGE of the runner, or else the usual image for the language',
    ),
  }),
  z.strictObject({
    mode: z.literal('archive'),
    upload: described(
      z
        .string()
        .check(z.regex(/^[0-9a-f]{64}$/, 'the id of an upload is its SHA-256, 64 hexadecimal digits')),
      'A zip, tar or tar.gz that the hub stores, by its SHA-256',
    ),
    dockerfile: z._default(path, 'Dockerfile'),
  }),
  z.strictObject({
    mode: z.literal('git'),
    url: described(text, 'https:// address of a Git repository'),
    ref: described(z.optional(text), 'Branch, tag or commit; default: the default branch of the repository'),
    dockerfile: z._default(path, 'Dockerfile'),
    git_auth: z.optional(GitAuth),
    built: z.optional(BuiltImage),
  }),
  z.strictObject({
    mode: z.literal('image'),
    image: described(text, 'Name of an existing image'),
    registry_auth: z.optional(RegistryAuth),
    pulled: z.optional(PulledImage),
  }),
])
export type BotSource = z.infer<typeof BotSource>

/** Default of `limits.work`; not in the schema, since runners of earlier versions do not know the field. */
export const DEFAULT_WORK = '1GB'

/** The limits of a bot's container. */
export const BotLimits = z.strictObject({
  memory: described(z._default(Size, '256MB'), 'Memory; there is no swap'),
  cpus: described(z._default(z.number().check(z.positive(), z.maximum(1024)), 0.5), 'Cores'),
  processes: described(z._default(positive, 100), 'Processes and threads'),
  disk: described(z._default(Size, '64MB'), 'Size of /tmp, which is in memory'),
  work: described(
    z.optional(Size),
    'How much the bot may write into its working folder and the volumes of its image, in addition to what the image has there; default 1GB. If it writes more, it ends with reason quota',
  ),
  log: described(
    z._default(Size, '50MB'),
    'Most log bytes per day; the rest is left out, and a line says so',
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
      'the path of a data folder is absolute and plain, such as /data or /app/state',
    ),
    z.refine(isOwnFolder, 'a system folder cannot be the data folder; use one such as /data'),
  )

/** A named volume that outlives the bot's containers. */
export const BotData = z.strictObject({
  path: described(z._default(dataPath, '/data'), 'Path of the data folder in the container'),
  size: described(
    z._default(Size, '1GB'),
    'How large the data may become; if it is larger, the bot ends with reason quota',
  ),
  runner: described(z.optional(text), 'The runner that has it, if the bot could also run on others'),
})
export const RequestedPlace = z.strictObject({ path: z.optional(dataPath), size: z.optional(Size) })
export type BotData = z.infer<typeof BotData>

export const restartPolicies = ['no', 'on-failure', 'always', 'unless-stopped'] as const
export const BotRestart = z.strictObject({
  policy: z._default(z.enum(restartPolicies), 'no'),
  max_restarts: described(
    z._default(z.int().check(z.minimum(1), z.maximum(1000)), 5),
    'With on-failure: a bot that fails more often than this, each time within ten minutes, stays crashed',
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
      'Command to run in the container, as a shell line or as a program with arguments; exit code 0 means healthy',
    ),
    interval_seconds: described(z._default(interval, 30), 'Seconds between two checks'),
    timeout_seconds: described(
      z._default(z.number().check(z.minimum(1), z.maximum(3600)), 30),
      'A check that takes longer than this has failed',
    ),
    retries: described(
      z._default(z.int().check(z.minimum(1), z.maximum(1000)), 3),
      'After this many failures in a row, the bot is unhealthy',
    ),
    start_period_seconds: described(
      z._default(z.number().check(z.minimum(0), z.maximum(86_400)), 0),
      'For how long after the start failures do not count',
    ),
  }),
])
export type BotHealthCheck = z.infer<typeof BotHealthCheck>

/** Arguments of `bot.serve`. Its environment is the step's `env`, and its secrets the step's `secrets`. */
export const BotServeArgs = z.strictObject({
  bot_id: BotId,
  source: BotSource,
  command: described(
    z.optional(z.array(text).check(z.minLength(1))),
    "Command that replaces the image's own",
  ),
  limits: z.prefault(BotLimits, {}),
  data: z.optional(BotData),
  restart: z.prefault(BotRestart, {}),
  health: z.optional(BotHealthCheck),
  runtime: described(z.optional(text), "Container runtime, such as runsc; default: the runner's"),
  stop_grace_seconds: described(
    z._default(z.number().check(z.minimum(0), z.maximum(600)), 10),
    'Seconds between the request to end and the kill',
  ),
  refresh: described(z.optional(z.boolean()), 'Build without using earlier builds'),
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
  cpu_ms: usage('CPU time so far'),
  memory_bytes: usage('Memory, without cached copies of files'),
  peak_memory_bytes: usage('Most memory'),
  network_bytes_per_second: usage('Received and sent'),
  peak_network_bytes_per_second: usage('Peak of bytes received and sent'),
  network_received_bytes: usage('So far'),
  network_sent_bytes: usage('So far'),
  disk_read_bytes: usage('So far'),
  disk_written_bytes: usage('So far'),
  disk_bytes: usage('What it has written into its working folder and volumes, plus its data'),
  peak_disk_bytes: usage('The highest measured value of `disk_bytes`'),
})
export type BotUsage = z.infer<typeof BotUsage>

/** Most bytes of a check's output that are shown. */
export const MAX_HEALTH_OUTPUT = 2048
export const BotHealth = z.object({
  state: z.enum(['starting', 'healthy', 'unhealthy']),
  output: described(
    z.optional(z.string().check(z.maxLength(2 * MAX_HEALTH_OUTPUT))),
    'Output of its last check',
  ),
  checked_at: z.optional(moment),
})
export type BotHealth = z.infer<typeof BotHealth>

/** The present state of a bot's attempt. No log stores it: its runner reports it repeatedly. */
export const BotLive = z.object({
  attempt_id: z.string(),
  engine_away_since: described(z.optional(moment), 'Since when its container engine has not answered'),
  cannot_reach: described(
    z.optional(z.string().check(z.maxLength(4096))),
    'Why it currently cannot reach what its runner allows, if that is so',
  ),
  health: z.optional(BotHealth),
  usage: z.optional(BotUsage),
})
export type BotLive = z.infer<typeof BotLive>
