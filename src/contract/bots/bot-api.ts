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
import { WantedData } from './bot-data.ts'

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
  .describe(`One of ${deploymentModes.join(', ')}; default: what the other fields say`)

/** Most bytes of a simple bot's source texts together; more must be an archive. */
export const MAX_CODE_BYTES = 1024 * 1024
/** Largest archive, packed. */
export const MAX_UPLOAD_BYTES = 50 * 1024 * 1024

/** The source of the code, in the words of the three modes. */
const source = {
  deployment_mode: deployment_mode.optional(),
  code: z.string().min(1).optional().describe('simple: the one source text'),
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
    .describe('simple: which of them is run; default: the only one, or bot.py for `code`'),
  requirements: z
    .union([z.string(), z.array(z.string().max(1000)).max(1000)])
    .optional()
    .describe('simple: what pip or npm installs, as a list or as lines')
    .meta({ examples: [['aiogram>=3.0']] }),
  language: z.enum(['python', 'node']).optional().describe('simple: default: what the entrypoint ends with'),
  base_image: text.optional().describe('simple: default: the one of the runner'),
  archive: z
    .string()
    .min(1)
    .optional()
    .describe('custom: a zip, tar or tar.gz in base64; a large one is uploaded'),
  upload: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'an upload is named by its SHA-256, 64 hexadecimal digits')
    .optional()
    .describe('custom: what PUT /api/uploads has answered'),
  git_url: text.optional().describe('custom: https:// address of a Git repository'),
  git_ref: text.optional().describe('custom: branch, tag or commit; default: that of the repository'),
  git_auth: z
    .strictObject({
      username: text.optional().describe('Default: x-access-token, which servers take with a token'),
      password: z.string().min(1).max(65_536).optional().describe('The token, for one fetch'),
      secret: z.optional(VarName).describe('Instead of it: name of a secret that the hub keeps'),
    })
    .refine(
      ({ password, secret }) => (password === undefined) !== (secret === undefined),
      'it has one of "password" and "secret"',
    )
    .optional()
    .describe(
      'custom: credentials of `git_url`, sent to its server alone; a password is sealed until the image is built, then deleted; no build is given them',
    )
    .meta({ examples: [{ password: '...' }] }),
  dockerfile: z.string().min(1).max(1024).optional().describe('custom: default: Dockerfile'),
  docker_image: text.optional().describe('image: name of a ready image'),
  registry_auth: z
    .strictObject({ username: text, password: z.string().min(1).max(65_536) })
    .optional()
    .describe(
      'image: credentials for its pull; sealed until that is done, then deleted; given to no container',
    )
    .meta({ examples: [{ username: 'ann', password: '...' }] }),
}

const settings = {
  command: z
    .array(text)
    .min(1)
    .max(256)
    .optional()
    .describe("Instead of the image's own command")
    .meta({ examples: [['python', 'bot.py']] }),
  env_vars: z
    .record(z.string(), Scalar)
    .optional()
    .describe('Secret variables: sealed while the bot lives, masked in its log, shown nowhere')
    .meta({ examples: [{ BOT_TOKEN: '...' }] }),
  env: z
    .record(z.string(), Scalar)
    .optional()
    .describe('Plain variables, which can be seen')
    .meta({ examples: [{ LANG: 'C.UTF-8' }] }),
  limits: z.optional(BotLimits),
  data: WantedData.optional(),
  restart: z.optional(BotRestart),
  health: z.optional(BotHealthCheck).describe('Instead of the image\'s own check; "none": it has none'),
  timeout_seconds: z
    .union([z.number().positive(), z.null(), z.literal('unlimited')])
    .optional()
    .describe(
      'Longest life; null or "unlimited": without end, where the hub allows it. Default: the time that the hub gives a bot (24 h)',
    ),
  stop_grace_seconds: z
    .number()
    .min(0)
    .max(600)
    .optional()
    .describe('Between the request to end and the kill'),
  refresh: z
    .boolean()
    .optional()
    .describe(
      'simple, custom: this once, the base image is looked up and all is installed anew, whatever earlier builds have left',
    ),
  runtime: text.optional().describe('Container runtime, such as runsc; default: that of the runner'),
  runner: z.string().min(1).optional().describe('Id of the one runner to use'),
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
  message: z.string().optional().describe('How it ended, what it waits for, or what it is at'),
  exit_code: z.number().int().optional(),
  engine_away_since: time.optional().describe('Since then its container engine has not answered'),
  cannot_reach: z
    .string()
    .optional()
    .describe('Why it may not reach what its runner allows it (ERRAND_BOT_ALLOW), where that is so just now'),
  health: z.optional(BotHealth).describe('Of one that has a check, while its container is up'),
}

export const BotView = z.object({
  bot_id: z.string(),
  ...life,
  owner: z.string(),
  deployment_mode: z.enum(deploymentModes),
  image: z.string().optional(),
  runner: z.string().optional(),
  created_at: time,
  started_at: time.optional().describe('Since when it runs, or when the run was begun'),
  finished_at: time.optional(),
  uptime_seconds: z.number().optional().describe('How long its present container has been running'),
  restarts: z
    .number()
    .int()
    .optional()
    .describe(
      'How often it was started again after a failure; a list does not tell it of those that have ended',
    ),
  limits: BotLimits,
  data: z
    .object({
      path: z.string(),
      limit_bytes: z.number(),
      runner: z.string().optional().describe('The runner that has them, once that is known'),
      bytes: z
        .number()
        .optional()
        .describe('What stands there now; told of a single bot, where its runner can say'),
    })
    .optional()
    .describe('Its place for data, where this run has one'),
  restart: BotRestart,
  health_check: z.optional(BotHealthCheck).describe("Absent: the image's own, if it has one"),
  timeout_seconds: z.number().nullable().optional().describe('Longest life; null: without end'),
  usage: z.optional(BotUsage).describe('Now, at most and so far; of one that has ended what is kept of it'),
  env: z.record(z.string(), z.string()),
  env_vars: z.array(z.string()).describe('Names of its secret variables'),
  update: z
    .object({ ...life, created_at: time })
    .optional()
    .describe('The run that is to take its place, or that failed to'),
})
export type BotView = z.infer<typeof BotView>

/** A bot that was started, restarted or updated; `warnings` are for the person who gave the variables. */
export const BotStarted = BotView.extend({ warnings: z.array(z.string()) })
export type BotStarted = z.infer<typeof BotStarted>

export const ListBots = z.strictObject({
  state: z.string().optional().describe('One or several, separated by commas'),
  owner: z.string().optional().describe('For an admin'),
  all: z.stringbool().default(false).describe('Also those that have ended'),
})
export type ListBots = z.infer<typeof ListBots>
export type ListBotsInput = { state?: string; owner?: string; all?: boolean }
export const BotList = z.object({ bots: z.array(BotView) })
export type BotList = z.infer<typeof BotList>

/** `owner`: the owner of the bot, when an admin asks for another user's bot. */
export const BotQuery = z.strictObject({ owner: z.string().optional().describe('Whose bot, for an admin') })
export type BotQuery = z.infer<typeof BotQuery>

export const MAX_LOG_LINES = 10_000
export const BotLogsQuery = z.strictObject({
  owner: BotQuery.shape.owner,
  tail: z.coerce.number().int().min(0).max(MAX_LOG_LINES).default(100).describe('The last so many lines'),
  search: z.string().min(1).max(1000).optional().describe('Only lines that hold this text, in any case'),
  since: z.string().optional().describe('Only lines from this time on (RFC 3339)'),
  stream: z.enum(['stdout', 'stderr']).optional(),
  follow: z
    .stringbool()
    .default(false)
    .describe('As Server-Sent Events: the last lines, and then each one as it comes, until the bot ends'),
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
  time: time.describe('When the hub got the end of the line'),
  stream: z.enum(['stdout', 'stderr']),
  text: z.string(),
  open: z.literal(true).optional().describe('The line has not ended yet'),
})
export type LogLine = z.infer<typeof LogLine>

export const BotLogs = z.object({
  bot_id: z.string(),
  run_id: z.string(),
  lines: z.array(LogLine),
  seq: z.number().int().describe('The last event of the run that was looked at'),
  truncated: z
    .boolean()
    .describe('Older lines, or what a long line has after 64 KiB, were left out: the answer has its bounds'),
})
export type BotLogs = z.infer<typeof BotLogs>

export const Upload = z.object({ upload: z.string().describe('SHA-256'), bytes: z.number().int() })
export type Upload = z.infer<typeof Upload>
