import * as z from 'zod'
import { Size } from '../amounts.ts'
import { VarName } from '../names.ts'
import { Reason, RunStatus } from '../status.ts'
import { Scalar } from '../workflow.ts'
import {
  BotHealth,
  BotHealthCheck,
  BotId,
  BotLimits,
  BotRestart,
  BotUsage,
  botStates,
  restartPolicies,
} from './bot.ts'
import { RequestedData } from './bot-data.ts'

/** Requests and answers of `/api/bots` and `/api/uploads`. No answer contains a value of `env_vars`, or a password. */

const time = z.string().describe('RFC 3339, UTC')
const text = z.string().min(1).max(4096)

export const BotState = z.enum(botStates)
export type BotState = z.infer<typeof BotState>

export const deploymentModes = ['simple', 'custom', 'image'] as const
/** Accepts any text: the blueprint reports a wrong mode and names the right ones. */
const deployment_mode = z
  .string()
  .min(1)
  .describe(`One of ${deploymentModes.join(', ')}; default: derived from the other fields`)

/** Most bytes of a simple bot's source texts together; more must be an archive. */
export const MAX_CODE_BYTES = 1024 * 1024
/** Largest archive, packed. */
export const MAX_UPLOAD_BYTES = 50 * 1024 * 1024

/** The source of the code, in the words of the three modes. */
const source = {
  deployment_mode: deployment_mode.optional(),
  code: z.string().min(1).optional().describe('simple: the only source text'),
  files: z
    .record(z.string().min(1).max(1024), z.string())
    .optional()
    .describe('simple: several source texts, by path')
    .meta({ examples: [{ 'bot.py': 'print(1)' }] }),
  entrypoint: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe('simple: which file to run; default: the only one, or bot.py for `code`'),
  requirements: z
    .union([z.string(), z.array(z.string().max(1000)).max(1000)])
    .optional()
    .describe('simple: packages for pip or npm to install, as a list or one per line')
    .meta({ examples: [['aiogram>=3.0']] }),
  language: z
    .enum(['python', 'node'])
    .optional()
    .describe('simple: default: by the extension of the entrypoint'),
  base_image: text.optional().describe("simple: default: the runner's base image"),
  archive: z
    .string()
    .min(1)
    .optional()
    .describe('custom: a zip, tar or tar.gz in base64; upload a large archive instead'),
  upload: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'the id of an upload is its SHA-256, 64 hexadecimal digits')
    .optional()
    .describe('custom: the id from the answer of PUT /api/uploads'),
  git_url: text.optional().describe('custom: https:// address of a Git repository'),
  git_ref: text
    .optional()
    .describe('custom: branch, tag or commit; default: the default branch of the repository'),
  git_auth: z
    .strictObject({
      username: text.optional().describe('Default: x-access-token, which servers accept with a token'),
      password: z.string().min(1).max(65_536).optional().describe('The token, for one fetch'),
      secret: z.optional(VarName).describe('Instead of a password: the name of a secret on the hub'),
    })
    .refine(
      ({ password, secret }) => (password === undefined) !== (secret === undefined),
      'give exactly one of "password" and "secret"',
    )
    .optional()
    .describe(
      'custom: credentials for `git_url`, sent only to its server. A password is sealed until the image is built, and then deleted. Builds do not get them',
    )
    .meta({ examples: [{ password: '...' }] }),
  dockerfile: z.string().min(1).max(1024).optional().describe('custom: default: Dockerfile'),
  docker_image: text.optional().describe('image: name of an existing image'),
  registry_auth: z
    .strictObject({ username: text, password: z.string().min(1).max(65_536) })
    .optional()
    .describe(
      'image: credentials for pulling the image. They are sealed until the pull is done, and then deleted. No container gets them',
    )
    .meta({ examples: [{ username: 'ann', password: '...' }] }),
}

const settings = {
  command: z
    .array(text)
    .min(1)
    .max(256)
    .optional()
    .describe("Command that replaces the image's own")
    .meta({ examples: [['python', 'bot.py']] }),
  env_vars: z
    .record(z.string(), Scalar)
    .optional()
    .describe('Secret variables: sealed while the bot lives, masked in its log, never shown')
    .meta({ examples: [{ BOT_TOKEN: '...' }] }),
  env: z
    .record(z.string(), Scalar)
    .optional()
    .describe('Plain variables; their values are visible')
    .meta({ examples: [{ LANG: 'C.UTF-8' }] }),
  limits: z.optional(BotLimits),
  data: RequestedData.optional(),
  restart: z.optional(BotRestart),
  health: z.optional(BotHealthCheck).describe('Replaces the health check of the image; "none": no check'),
  timeout_seconds: z
    .union([z.number().positive(), z.null(), z.literal('unlimited')])
    .optional()
    .describe(
      'Longest life; null or "unlimited": no limit, if the hub allows that. Default: the life that the hub gives a bot (24 h)',
    ),
  stop_grace_seconds: z
    .number()
    .min(0)
    .max(600)
    .optional()
    .describe('Seconds between the request to end and the kill'),
  refresh: z
    .boolean()
    .optional()
    .describe(
      'simple, custom: for this build, look up the base image again and install everything again, without using earlier builds',
    ),
  runtime: text.optional().describe("Container runtime, such as runsc; default: the runner's"),
  runner: z.string().min(1).optional().describe('Id of the only runner to use'),
  group: z.string().min(1).optional().describe('Runner group to use'),
  labels: z
    .record(z.string(), z.string())
    .optional()
    .describe('Labels that the runner must have')
    .meta({ examples: [{ zone: 'a' }] }),
}

/** `POST /api/bots`. */
export const StartBot = z.strictObject({ bot_id: BotId, ...source, ...settings })
export type StartBot = z.infer<typeof StartBot>
export type StartBotInput = z.input<typeof StartBot>

/** `POST /api/bots/:id/update`: omitted fields stay unchanged, and so does each omitted limit and variable. */
export const UpdateBot = z.strictObject({
  ...source,
  ...settings,
  limits: z
    .strictObject({
      memory: z.optional(Size),
      cpus: z.number().positive().max(1024).optional(),
      processes: z.number().int().positive().optional(),
      disk: z.optional(Size),
      work: z.optional(Size),
      log: z.optional(Size),
    })
    .optional(),
  restart: z
    .strictObject({
      policy: z.enum(restartPolicies).optional(),
      max_restarts: z.number().int().min(1).max(1000).optional(),
    })
    .optional(),
})
export type UpdateBot = z.infer<typeof UpdateBot>
/** An update whose archive is stored as an upload. */
export type BotChange = Omit<UpdateBot, 'archive'>
export type UpdateBotInput = z.input<typeof UpdateBot>

/** The fields that give the source of the code: an update with one of them has a source of its own. */
export const sourceFields = Object.keys(source) as (keyof typeof source)[]

const life = {
  run_id: z.string(),
  state: BotState,
  status: RunStatus,
  reason: z.optional(Reason),
  message: z.string().optional().describe('How it ended, what it waits for, or what it is doing'),
  exit_code: z.number().int().optional(),
  engine_away_since: time.optional().describe('Since when its container engine has not answered'),
  cannot_reach: z
    .string()
    .optional()
    .describe('Why it currently cannot reach what its runner allows (ERRAND_BOT_ALLOW), if that is so'),
  health: z.optional(BotHealth).describe('Set if the bot has a health check and its container is up'),
}

export const BotView = z.object({
  bot_id: z.string(),
  ...life,
  owner: z.string(),
  deployment_mode: z.enum(deploymentModes),
  image: z.string().optional(),
  runner: z.string().optional(),
  created_at: time,
  started_at: time.optional().describe('Since when it runs, or when the run began'),
  finished_at: time.optional(),
  uptime_seconds: z.number().optional().describe('How long its current container has been running'),
  restarts: z
    .number()
    .int()
    .optional()
    .describe('How often it was restarted after a failure; lists omit it for bots that have ended'),
  limits: BotLimits,
  data: z
    .object({
      path: z.string(),
      limit_bytes: z.number(),
      runner: z.string().optional().describe('The runner that stores the data, once that is known'),
      bytes: z
        .number()
        .optional()
        .describe('Size of the data now; only for a single bot, if its runner can tell'),
    })
    .optional()
    .describe('Its data folder, if this run has one'),
  restart: BotRestart,
  health_check: z.optional(BotHealthCheck).describe("Absent: the image's own check, if it has one"),
  timeout_seconds: z.number().nullable().optional().describe('Longest life; null: no limit'),
  usage: z
    .optional(BotUsage)
    .describe('Current, peak and total usage; for a bot that has ended, what is still stored'),
  env: z.record(z.string(), z.string()),
  env_vars: z.array(z.string()).describe('Names of its secret variables'),
  update: z
    .object({ ...life, created_at: time })
    .optional()
    .describe('The run that is about to replace it, or failed to'),
})
export type BotView = z.infer<typeof BotView>

/** A bot that was started, restarted or updated; `warnings` are for the person who gave the variables. */
export const BotStarted = BotView.extend({ warnings: z.array(z.string()) })
export type BotStarted = z.infer<typeof BotStarted>

export const ListBots = z.strictObject({
  state: z.string().optional().describe('One or more, separated by commas'),
  owner: z.string().optional().describe('Only for admins'),
  all: z.stringbool().default(false).describe('Include bots that have ended'),
})
export type ListBots = z.infer<typeof ListBots>
export type ListBotsInput = { state?: string; owner?: string; all?: boolean }
export const BotList = z.object({ bots: z.array(BotView) })
export type BotList = z.infer<typeof BotList>

/** `owner`: the owner of the bot, when an admin asks for another user's bot. */
export const BotQuery = z.strictObject({
  owner: z.string().optional().describe('Owner of the bot; only for admins'),
})
export type BotQuery = z.infer<typeof BotQuery>

export const MAX_LOG_LINES = 10_000
export const BotLogsQuery = z.strictObject({
  owner: BotQuery.shape.owner,
  tail: z.coerce
    .number()
    .int()
    .min(0)
    .max(MAX_LOG_LINES)
    .default(100)
    .describe('How many of the last lines to return'),
  search: z.string().min(1).max(1000).optional().describe('Only lines that contain this text, in any case'),
  since: z.string().optional().describe('Only lines from this time on (RFC 3339)'),
  stream: z.enum(['stdout', 'stderr']).optional(),
  follow: z
    .stringbool()
    .default(false)
    .describe('Answer with Server-Sent Events: the last lines, then each new line, until the bot ends'),
})
export type BotLogsQuery = z.infer<typeof BotLogsQuery>
export type BotLogsInput = {
  owner?: string
  tail?: number
  search?: string
  since?: string
  stream?: 'stdout' | 'stderr'
}

export const LogLine = z.object({
  time: time.describe('When the hub received the end of the line'),
  stream: z.enum(['stdout', 'stderr']),
  text: z.string(),
  open: z.literal(true).optional().describe('The line has not ended yet'),
})
export type LogLine = z.infer<typeof LogLine>

export const BotLogs = z.object({
  bot_id: z.string(),
  run_id: z.string(),
  lines: z.array(LogLine),
  seq: z.number().int().describe('The last event of the run that was read'),
  truncated: z
    .boolean()
    .describe(
      'Older lines, or what follows the first 64 KiB of a long line, were left out to limit the answer',
    ),
})
export type BotLogs = z.infer<typeof BotLogs>

export const Upload = z.object({ upload: z.string().describe('SHA-256'), bytes: z.number().int() })
export type Upload = z.infer<typeof Upload>
