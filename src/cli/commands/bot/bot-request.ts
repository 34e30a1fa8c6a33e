import { readFileSync } from 'node:fs'
import type { ErrandClient } from '../../../client/client.ts'
import { restartPolicies } from '../../../contract/bots/bot.ts'
import type { UpdateBotInput } from '../../../contract/bots/bot-api.ts'
import { VarName } from '../../../contract/names.ts'
import { secretFault } from '../../../contract/step-secrets.ts'
import { UsageError, type Values } from '../../command.ts'
import { variableValues } from '../../option-values.ts'
import { decodedSecret } from '../../secret-values.ts'
import { customSource, imageSource, simpleSource } from './bot-source.ts'

/** Options of `start` and `update` that describe a bot. */
export const botRequestOptions = {
  simple: { type: 'string', value: 'FILE', help: 'Run this source file; more of them may follow the id' },
  entrypoint: { type: 'string', value: 'FILE', help: 'With --simple: which of several files to run' },
  requirement: {
    type: 'string',
    short: 'r',
    multiple: true,
    value: 'REQ',
    help: 'With --simple: package for pip or npm to install, or @FILE',
  },
  'base-image': {
    type: 'string',
    value: 'IMAGE',
    help: "With --simple: base image, instead of the runner's own",
  },
  custom: {
    type: 'string',
    value: 'DIR|FILE|URL',
    help: 'Build a folder, a zip, a tar.gz or a Git URL with a Dockerfile',
  },
  ref: { type: 'string', value: 'REF', help: 'With a Git URL: branch, tag or commit' },
  'git-token': { type: 'boolean', help: 'With a Git URL: ask for the token of a private repository' },
  'git-secret': {
    type: 'string',
    value: 'NAME',
    help: 'With a Git URL: secret of the hub that holds the token',
  },
  dockerfile: {
    type: 'string',
    value: 'PATH',
    help: 'With --custom: path of the Dockerfile (default: Dockerfile)',
  },
  refresh: {
    type: 'boolean',
    help: 'With --simple or --custom: look up the base image and reinstall everything, this once',
  },
  image: { type: 'string', value: 'IMAGE', help: 'Run a ready image' },
  username: {
    type: 'string',
    value: 'NAME',
    help: 'With --image or a Git URL: user name at its server; asks for the password',
  },
  'password-stdin': {
    type: 'boolean',
    help: 'With --username or --git-token: read the password or token from standard input',
  },
  env: {
    type: 'string',
    short: 'e',
    multiple: true,
    value: 'K=V',
    help: 'Secret variable: K=V, K (from the environment) or K=@FILE',
  },
  plain: { type: 'string', multiple: true, value: 'K=V', help: 'Variable that is not a secret' },
  memory: { type: 'string', value: 'SIZE', help: 'Default 256MB' },
  cpus: { type: 'string', value: 'N', help: 'Default 0.5' },
  processes: { type: 'string', value: 'N', help: 'Default 100' },
  tmp: { type: 'string', value: 'SIZE', help: 'Size of /tmp; default 64MB' },
  'work-size': {
    type: 'string',
    value: 'SIZE',
    help: 'Size of its working folder and volumes; default 1GB',
  },
  data: {
    type: 'boolean',
    path: true,
    value: '[PATH]',
    help: 'Data folder that outlives the bot, at an absolute path; default /data',
  },
  'data-size': { type: 'string', value: 'SIZE', help: 'Size of the data folder; default 1GB' },
  'log-size': { type: 'string', value: 'SIZE', help: 'Size of the log per day; default 50MB' },
  restart: {
    type: 'string',
    value: 'POLICY',
    help: 'no (default), on-failure, on-failure:N, always or unless-stopped',
  },
  'health-cmd': { type: 'string', value: 'CMD', help: "Health check, instead of the image's own" },
  'health-interval': {
    type: 'string',
    value: 'TIME',
    help: 'With --health-cmd: time between two checks; default 30s',
  },
  'health-timeout': {
    type: 'string',
    value: 'TIME',
    help: 'With --health-cmd: time limit of a check; default 30s',
  },
  'health-retries': {
    type: 'string',
    value: 'N',
    help: 'With --health-cmd: failures in a row until it is unhealthy; default 3',
  },
  'health-start-period': {
    type: 'string',
    value: 'TIME',
    help: 'With --health-cmd: time after the start in which no failure counts',
  },
  'no-healthcheck': { type: 'boolean', help: 'Disable the health check of the image' },
  'max-time': {
    type: 'string',
    value: 'TIME',
    help: "Longest life, such as 2h, or unlimited; default and maximum: the hub's (24h)",
  },
  runtime: { type: 'string', value: 'NAME', help: 'Container runtime, such as runsc' },
  group: { type: 'string', value: 'GROUP', help: 'Runner group to use' },
  runner: { type: 'string', value: 'ID', help: 'Runner to use' },
} as const

export type BotRequestValues = Values<typeof botRequestOptions>

/** Builds the request from the options that are given. Packs and uploads a folder. Throws `UsageError`. */
export async function botRequest(
  client: ErrandClient,
  values: BotRequestValues,
  more: readonly string[],
): Promise<UpdateBotInput> {
  checkMode(values, more)
  const { runtime, group, runner, refresh } = values
  const request: UpdateBotInput = {
    ...(values.simple === undefined ? {} : simpleSource(values, more)),
    ...(values.image === undefined ? {} : await imageSource(values)),
    env_vars: values.env && botVariables(values.env),
    env: values.plain && variableValues('--plain', values.plain),
    ...limitsOf(values),
    ...dataOf(values),
    ...(values.restart === undefined ? {} : { restart: restartOf(values.restart) }),
    ...(values['max-time'] === undefined ? {} : { timeout_seconds: await lifeSeconds(values['max-time']) }),
    ...(await healthOf(values)),
    ...{ runtime, group, runner, refresh },
  }
  // This comes last: mistakes in the rest are reported before anything is uploaded.
  if (values.custom !== undefined) Object.assign(request, await customSource(client, values, values.custom))
  return request
}

/** Kinds of source that an option belongs to. */
const ofMode = {
  entrypoint: ['simple'],
  requirement: ['simple'],
  'base-image': ['simple'],
  ref: ['custom'],
  'git-token': ['custom'],
  'git-secret': ['custom'],
  dockerfile: ['custom'],
  username: ['image', 'custom'],
  'password-stdin': ['image', 'custom'],
} as const

function checkMode(values: BotRequestValues, more: readonly string[]): void {
  const modes = (['simple', 'custom', 'image'] as const).filter((mode) => values[mode] !== undefined)
  if (modes.length > 1)
    throw new UsageError(
      `--${modes[0]} and --${modes[1]} name two sources`,
      'give one of --simple, --custom and --image',
    )
  for (const [option, of] of Object.entries(ofMode) as [keyof typeof ofMode, readonly string[]][])
    if (values[option] !== undefined && !of.includes(modes[0] ?? ''))
      throw new UsageError(
        `--${option} works only with --${of.join(' or --')}`,
        'run "errand bot start --help" to see what each takes',
      )
  if (more.length > 0 && modes[0] !== 'simple')
    throw new UsageError(`unexpected argument "${more[0]}"`, 'further files work only with --simple')
}

function limitsOf(values: BotRequestValues): Pick<UpdateBotInput, 'limits'> {
  const limits = {
    memory: values.memory,
    cpus: number('--cpus', values.cpus),
    processes: number('--processes', values.processes),
    disk: values.tmp,
    work: values['work-size'],
    log: values['log-size'],
  }
  return Object.values(limits).some((value) => value !== undefined) ? { limits } : {}
}

/** Returns the data part of the request; a size alone asks for data too. */
function dataOf({ data, 'data-size': size }: BotRequestValues): Pick<UpdateBotInput, 'data'> {
  if (data === undefined && size === undefined) return {}
  return { data: { ...(typeof data === 'string' && { path: data }), ...(size !== undefined && { size }) } }
}

function number(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() !== '' && value > 0) return value
  throw new UsageError(`${option} is "${text}"`, 'use a number above 0')
}

function restartOf(text: string): NonNullable<UpdateBotInput['restart']> {
  const [, name, times] = /^([a-z-]+)(?::(\d+))?$/.exec(text) ?? []
  const policy = restartPolicies.find((each) => each === name)
  if (policy === undefined || (policy !== 'on-failure' && times !== undefined))
    throw new UsageError(
      `--restart is "${text}"`,
      'use no, on-failure, on-failure:N, always or unless-stopped',
    )
  return {
    policy,
    ...(times === undefined ? {} : { max_restarts: Number(times) }),
  }
}

const lifeSeconds = async (text: string): Promise<number | 'unlimited'> =>
  text === 'unlimited' ? text : await seconds('--max-time', text)

async function healthOf(values: BotRequestValues): Promise<Pick<UpdateBotInput, 'health'>> {
  const cmd = values['health-cmd']
  const times = ['health-interval', 'health-timeout', 'health-start-period'] as const
  const alone = [...times, 'health-retries' as const].find((option) => values[option] !== undefined)
  if (values['no-healthcheck'] && (cmd ?? alone) !== undefined)
    throw new UsageError(
      '--no-healthcheck cannot be combined with other health options',
      'leave one of them out',
    )
  if (values['no-healthcheck']) return { health: 'none' }
  if (cmd === undefined) {
    if (alone === undefined) return {}
    throw new UsageError(`--${alone} needs --health-cmd`, 'give the command to run too')
  }
  const [interval_seconds, timeout_seconds, start_period_seconds] = (await Promise.all(
    times.map((option) => {
      const text = values[option]
      return text === undefined || /^0s?$/.test(text) ? text && 0 : seconds(`--${option}`, text)
    }),
  )) as (number | undefined)[]
  const retries = number('--health-retries', values['health-retries'])
  const check = { cmd, interval_seconds, timeout_seconds, retries, start_period_seconds }
  return { health: check }
}

async function seconds(option: string, text: string): Promise<number> {
  const { parseDuration } = await import('../../../platform/time.ts')
  const ms = parseDuration(text)
  if (ms !== undefined && ms > 0) return ms / 1000
  throw new UsageError(`${option} is "${text}"`, 'use a time such as 30m or 12h')
}

/**
 * Reads the values of `-e`: `K=V`, `K` (from the environment), `K=@FILE`, and `K=@@...` for a value that begins with
 * `@`. Errors never show a value.
 */
function botVariables(values: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(values.map(botVariable))
}

function botVariable(text: string): [string, string] {
  const at = text.indexOf('=')
  const name = at < 0 ? text : text.slice(0, at)
  if (!VarName.safeParse(name).success)
    throw new UsageError(
      'a variable of -e has no valid name',
      'write -e BOT_TOKEN=..., -e BOT_TOKEN (from the environment) or -e BOT_TOKEN=@FILE',
    )
  const value = at < 0 ? fromEnvironment(name) : fromText(name, text.slice(at + 1))
  const fault = secretFault(value)
  if (fault !== undefined)
    throw new UsageError(`the value of ${name} ${fault}`, `for an empty value, write --plain ${name}=`)
  return [name, value]
}

function fromEnvironment(name: string): string {
  const value = process.env[name]
  if (value !== undefined) return value
  throw new UsageError(
    `-e names ${name}, but the environment has no such variable`,
    `set it, or write -e ${name}=VALUE or -e ${name}=@FILE`,
  )
}

function fromText(name: string, value: string): string {
  if (value.startsWith('@@')) return value.slice(1)
  if (!value.startsWith('@')) return value
  let bytes: Uint8Array
  try {
    bytes = readFileSync(value.slice(1))
  } catch (error) {
    throw new UsageError(
      `the file of ${name} cannot be read: ${(error as Error).message}`,
      `for a value that begins with "@", write -e ${name}=@@...`,
    )
  }
  return decodedSecret(name, bytes)
}
